import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeFiles, makeRows } from "../../data/quickstart/make.ts";

const folder = join(import.meta.dirname, "../../data/quickstart");

void test("the quickstart's files are what their generator makes", { timeout: 60_000 }, () => {
  for (const [name, text] of Object.entries(makeFiles()))
    assert.equal(readFileSync(join(folder, name), "utf8"), text, `run: node data/quickstart/make.ts`);
});

void test(
  "1,500 varied rows; held-out rows share no name, item or message with them",
  { timeout: 60_000 },
  () => {
    const [train, heldout] = [makeRows("train", 1500), makeRows("heldout", 100)];
    const parse = (row: { output: string }): Record<string, unknown> =>
      JSON.parse(row.output) as Record<string, unknown>;
    for (const key of ["name", "item"]) {
      const known = new Set(train.map((row) => parse(row)[key]));
      assert.ok(known.size >= 40);
      assert.deepEqual(
        heldout.filter((row) => known.has(parse(row)[key])),
        [],
      );
    }
    assert.equal(new Set(train.map((row) => row.input)).size, 1500);
    for (const row of [...train, ...heldout]) {
      const order = parse(row);
      assert.deepEqual(Object.keys(order), ["name", "item", "count", "day"]);
      for (const key of ["name", "item", "day"]) assert.match(row.input, new RegExp(String(order[key]), "i"));
      assert.ok(row.input.length < 80, row.input);
    }
  },
);
