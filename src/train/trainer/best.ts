// Which evaluation of a run was the best, for `checkpoint.keep_best`. It goes along in the checkpoints, so that a resumed run keeps
// the same one as a run that was never interrupted.
import { createHash } from "node:crypto";

import type { RunSpec } from "../../config/index.ts";
import type { HeldOut } from "./evaluation.ts";

export interface BestEvaluation {
  readonly step: number;
  /** Mean over the tokens of all data sets. */
  readonly loss: number;
  /** Of what was evaluated: losses on other rows say nothing of each other. */
  readonly digest: string;
}

/** Digest of the held-out data, and of how much of it is read. */
export function evaluationDigest({ datasets, maxBatches }: RunSpec["evaluation"]): string {
  return createHash("sha256").update(JSON.stringify({ datasets, maxBatches })).digest("hex").slice(0, 16);
}

/**
 * The evaluation after `step`, where it is better than the best before; undefined where it isn't.
 * @param results of all data sets: an evaluation that was cut short is none
 */
export function betterThan(
  best: BestEvaluation | undefined,
  results: readonly HeldOut[],
  step: number,
  evaluation: RunSpec["evaluation"],
): BestEvaluation | undefined {
  if (results.length < evaluation.datasets.length) return undefined;
  const tokens = results.reduce((sum, one) => sum + one.tokens, 0);
  const loss = results.reduce((sum, one) => sum + (one.loss * one.tokens) / tokens, 0);
  const digest = evaluationDigest(evaluation);
  const before = best?.digest === digest ? best.loss : Infinity;
  return loss < before ? { step, loss, digest } : undefined;
}
