// Helpers of this folder's tests. Not shipped.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { EvalRecord, StepRecord } from "./record.ts";

export function stepRecord(step: number, changes: Partial<StepRecord> = {}): StepRecord {
  return {
    kind: "train",
    step,
    steps: 100,
    time: 1_700_000_000 + step,
    loss: 3 / step,
    learning_rate: 1e-5,
    grad_norm: 1.25,
    num_tokens: 512 * step,
    tokens_per_second: 400,
    step_seconds: 1.28,
    seconds_left: 1.28 * (100 - step),
    ...changes,
  };
}

export function evalRecord(step: number, loss: number, dataset?: string): EvalRecord {
  return {
    kind: "eval",
    step,
    time: 1_700_000_000 + step,
    eval_loss: loss,
    num_tokens: 1000,
    ...(dataset !== undefined && { dataset }),
  };
}

/** A temporary folder that is removed when disposed. */
export function temporaryFolder(): { path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), "forge-metrics-"));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}
