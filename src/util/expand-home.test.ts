import assert from "node:assert/strict";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { expandHome } from "./expand-home.ts";

void test("~ is the home folder, at the beginning alone", () => {
  const home = process.env["HOME"] || homedir();
  assert.equal(expandHome("~"), join(home, "."));
  assert.equal(expandHome("~/rows.jsonl"), join(home, "rows.jsonl"));
  for (const path of ["~other/rows", "a/~/b", "./~", ""]) assert.equal(expandHome(path), path);
});
