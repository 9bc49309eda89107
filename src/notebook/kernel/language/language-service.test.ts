import assert from "node:assert/strict";
import { test } from "node:test";

import { NotebookLanguage } from "./language-service.ts";

const language = new NotebookLanguage(import.meta.dirname);
const names = (code: string): string[] =>
  language.complete(code, code.length)!.entries.map(({ name }) => name);

test("a cell that is executed once more replaces its module; one whose names are declared anew is dropped", () => {
  for (let i = 0; i < 300; i++) language.add("const data = [1, 2].map((x) => ({ row: x }));");
  assert.equal(language.modules, 1);
  assert.deepEqual(names("data[0].r"), ["row"]);
  for (let i = 0; i < 300; i++) {
    language.add(`const model = { step${i}: ${i}, data };`);
    language.add(`console.log(model, ${i});`); // declares nothing
  }
  assert(language.modules <= 60, String(language.modules));
  assert.deepEqual(names("model.st"), ["step299"]);
  assert.deepEqual(names("model.data[0].r"), ["row"], "the types of earlier cells");
});

test("two cells that use each other's names, run in turn, stay two modules", () => {
  const before = language.modules;
  for (let i = 0; i < 200; i++) {
    language.add("const left: number[] = [1]; const fromRight = typeof right;");
    language.add("const right = left.map((x) => ({ value: x }));");
  }
  assert(language.modules <= before + 2, String(language.modules));
  assert.deepEqual(names("right[0].va"), ["value"]);
});

test("a chain of cells deeper than TypeScript can follow, and more names than are kept", () => {
  language.add("const link0 = { end: 1 };");
  for (let i = 1; i < 2500; i++) language.add(`const link${i} = { before: link${i - 1}, n${i}: ${i} };`);
  assert(language.modules <= 2200, String(language.modules));
  assert.deepEqual(names("link2499.n"), ["n2499"]);
  assert.deepEqual(names("link2499.b"), ["before"]);
});
