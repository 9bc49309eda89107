import assert from "node:assert/strict";
import { test } from "node:test";

import { Config } from "../config.ts";
import { model } from "../testing.ts";
import { numbersOf, resumeDifferences } from "./resume-differences.ts";

test("where the function for the rows lies changes no numbers: the data position compares its text", () => {
  const at = (message_transform: string, lr = 1e-3) =>
    Config.create({ model, optimizer: { lr }, training: { message_transform } });
  const saved = numbersOf(at("./rows.ts#toMessages"));
  assert.deepEqual(resumeDifferences(saved, at("/data/rows.ts#toMessages")), []);
  assert.deepEqual(resumeDifferences(saved, at("/data/rows.ts#toMessages", 2e-3)), [
    { key: "optimizer.lr", before: 1e-3, after: 2e-3 },
  ]);
});
