import assert from "node:assert/strict";
import { test } from "node:test";

import {
  formatCount,
  formatDuration,
  formatEval,
  formatNumber,
  formatStep,
  formatTrainingStep,
} from "./format.ts";
import { evalRecord, stepRecord } from "./testing.ts";

test("the log line begins as the guide's", () => {
  assert.equal(formatTrainingStep(100, 1000, 2.345_64), "Step 100/1000 | Loss: 2.3456");
  assert.equal(
    formatStep(stepRecord(10, { loss: 2.3456, tokens_per_second: 12_345.6, seconds_left: 185 })),
    "Step 10/100 | Loss: 2.3456 | lr 1.00e-5 | grad norm 1.25 | 12,346 tokens/s | 3 min 05 s left",
  );
  assert.equal(
    formatStep(stepRecord(100, { loss: Number.NaN, grad_norm: Infinity })),
    "Step 100/100 | Loss: NaN | lr 1.00e-5 | grad norm Infinity | 400 tokens/s",
  );
});

test("evaluations name their data set where there are several", () => {
  assert.equal(
    formatEval(evalRecord(50, Math.log(8))),
    "Evaluation after step 50 | Loss: 2.0794 | perplexity 8 | 1,000 tokens",
  );
  assert.match(
    formatEval(evalRecord(0, 1, "held-out")),
    /^Evaluation after step 0 \(held-out\) \| Loss: 1\.0000/,
  );
});

test("durations, counts, numbers", () => {
  assert.deepEqual([0, 59.4, 59.6, 3599, 3600, 7625, 86_399, 100_000, Infinity].map(formatDuration), [
    "0 s",
    "59 s",
    "1 min 00 s",
    "59 min 59 s",
    "1 h 00 min",
    "2 h 07 min",
    "1 d 0 h",
    "1 d 4 h",
    "?",
  ]);
  assert.deepEqual([0, 9.54, 10.4, 1234.5].map(formatCount), ["0", "9.5", "10", "1,235"]);
  assert.deepEqual([0, 1.234_56, 123_456, 1e-4].map(formatNumber), ["0", "1.235", "1.23e+5", "1.00e-4"]);
});
