// Loss on held-out data. In several ranks each has its part of the rows, all stop together, and the mean is over the
// tokens of all.
import type { Batch, DataLoader } from "../../data/index.ts";
import type { Decoder } from "../../models/index.ts";
import { Ranks } from "../../parallel/index.ts";
import { scope } from "../../torch/index.ts";
import { UserError } from "../../util/index.ts";
import { emptyBatch, toMicroBatch } from "./micro-batch.ts";
import { rowsFailure } from "./rows-failure.ts";
import { forwardLoss } from "./step.ts";

export interface EvaluateOptions {
  /** Batches of one rank, at most. */
  readonly maxBatches?: number | undefined;
  /** Ends it on all ranks when it is aborted on one. */
  readonly signal?: AbortSignal;
  readonly ranks?: Ranks;
  /** The sum of a batch's token losses, where a strategy takes part; default: the model's. */
  readonly lossOf?: ((batch: Batch) => number) | undefined;
}

/**
 * Mean loss per trained token over a loader that ends.
 * @returns undefined when the signal ended it before
 */
export async function evaluateLoader(
  model: Decoder,
  loader: DataLoader,
  { maxBatches = Infinity, signal, ranks = Ranks.one, lossOf = lossOfModel(model) }: EvaluateOptions = {},
): Promise<{ loss: number; tokens: number } | undefined> {
  let sum = 0;
  let tokens = 0;
  for (let i = 0; ; i++) {
    // Signals and messages are handled between batches.
    await new Promise((resolve) => setImmediate(resolve));
    let batch: Batch | undefined;
    let failure: { error: unknown } | undefined;
    try {
      batch = i < maxBatches ? await loader.next() : undefined;
    } catch (error) {
      failure = { error };
    }
    const [stopped, failed, some] = ranks.anyOf([
      signal?.aborted ?? false,
      failure !== undefined,
      batch !== undefined,
    ]);
    if (failed) throw rowsFailure(failure);
    if (stopped) return undefined;
    if (!some) break;
    // Gathering a block takes all ranks, so those without rows go along.
    sum += lossOf(batch ?? emptyBatch);
    tokens += batch?.trainedTokens ?? 0;
  }
  const [allLoss] = ranks.sum([sum]) as [number];
  const [allTokens] = ranks.sumOverData([tokens]) as [number];
  if (allTokens === 0) throw rowsFailure({ error: noLabels() });
  return { loss: allLoss / allTokens, tokens: allTokens };
}

export const noLabels = (): UserError =>
  new UserError("eval.datasets: no token of the held-out data has a label, so there is no loss to report", {
    exitCode: 2,
  });

const lossOfModel =
  (model: Decoder) =>
  (batch: Batch): number => {
    using _ = scope();
    return forwardLoss(model, toMicroBatch(batch, model.device)).item();
  };
