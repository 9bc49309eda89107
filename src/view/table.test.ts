import assert from "node:assert/strict";
import { test } from "node:test";

import { tableHtml, tableText } from "./table.ts";

test("a table escapes its cells as HTML, and is aligned as text", () => {
  const rows = [
    ["a<b", "1"],
    ["c", { html: "<b>2</b>", text: "two" }],
  ];
  assert.equal(tableText(["name", "value"], rows), "name  value\na<b   1\nc     two");
  assert.match(
    tableHtml(["name"], rows),
    /<th[^>]*>name<\/th>.*<td[^>]*>a&lt;b<\/td>.*<td[^>]*><b>2<\/b><\/td>/,
  );
  assert.doesNotMatch(tableHtml([], rows), /<thead>/);
});
