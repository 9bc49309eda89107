import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { camelKeys } from "../util/index.ts";
import { factor, type ScheduleOptions } from "./schedule.ts";

void test("the numbers of the reference: 1000 steps, 200 of warm-up, linear decay", () => {
  const options = { steps: 1000, warmupSteps: 200 };
  assert.equal(factor(0, options), 0.005);
  assert.equal(factor(199, options), 1);
  assert.equal(factor(200, options), 1);
  assert.ok(Math.abs(factor(999, options) - 0.00125) < 1e-12);
});

void test("equals torchtitan's formula run through LambdaLR", () => {
  const path = new URL("../../test/fixtures/optim/schedule.json", import.meta.url);
  const rows = JSON.parse(readFileSync(path, "utf8")) as {
    options: ScheduleOptions;
    factors: [number, number][];
  }[];
  assert.equal(rows.length, 21);
  for (const { options, factors } of rows) {
    for (const [index, expected] of factors) {
      const found = factor(index, camelKeys(options));
      assert.ok(
        Math.abs(found - expected) <= 1e-15,
        `${JSON.stringify(options)} at ${index}: ${found} is not ${expected}`,
      );
    }
  }
});

void test("after the last step the rate stays at its minimum", () => {
  const options = { steps: 10, warmupSteps: 2, minLrFactor: 0.25 };
  assert.equal(factor(10, options), 0.25);
  assert.equal(factor(1000, options), 0.25);
});

void test("half a step is rounded to even, as Python does", () => {
  // 2.5 steps of decay are 2: index 2 is the last stable one.
  const options = { steps: 5, warmupSteps: 0, decayRatio: 0.5 };
  assert.deepEqual(
    [0, 1, 2, 3, 4].map((i) => factor(i, options)),
    [1, 1, 1, 1, 0.5],
  );
  assert.equal(factor(3, { steps: 7, warmupSteps: 0, decayRatio: 0.5 }), 1);
});
