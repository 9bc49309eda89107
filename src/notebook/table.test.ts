import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { fileLink, shortPath } from "./file-link.ts";
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

test("what lies below the notebook's folder is linked by a relative way, anything else only named", () => {
  const link = fileLink(join("/home/ada", "runs", "a b#1", "x.html"), "plot", "/home/ada");
  assert.deepEqual(link, { html: '<a href="runs/a%20b%231/x.html" target="_blank">plot</a>', text: "plot" });
  assert.deepEqual(fileLink("/elsewhere/x", "<x>", "/home/ada"), {
    html: "<code>&lt;x&gt;</code>",
    text: "<x>",
  });
  assert.deepEqual(fileLink("/home/ada", "here", "/home/ada").html, "<code>here</code>");
  assert.equal(shortPath("/home/ada/a/b", "/home/ada"), join("a", "b"));
  assert.equal(shortPath("/other/b", "/home/ada"), "/other/b");
});
