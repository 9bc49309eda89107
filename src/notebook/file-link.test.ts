import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { fileLink, shortPath } from "./file-link.ts";

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
