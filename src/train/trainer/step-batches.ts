// A rank's micro-batches of one step, and what the ranks tell each other about them.
import { rowsOf, type Batch, type DataLoader } from "../../data/index.ts";
import type { Ranks } from "../../parallel/index.ts";
import { rowsFailure } from "../engine/rows-failure.ts";

export interface StepBatches {
  /** This rank's. */
  readonly batches: readonly Batch[];
  /** Trained tokens of all ranks. */
  readonly trained: number;
  /** Tokens of all ranks, without padding. */
  readonly tokens: number;
}

/**
 * The next `count` micro-batches. Every rank calls it.
 * @throws on every rank, where one of them can't read its rows
 */
export async function nextBatches(loader: DataLoader, count: number, ranks: Ranks): Promise<StepBatches> {
  const batches: Batch[] = [];
  let failure: { error: unknown } | undefined;
  try {
    for (let i = 0; i < count; i++) {
      const batch = await loader.next();
      if (!batch) throw new Error("the loader ended");
      batches.push(batch);
    }
  } catch (error) {
    failure = { error };
  }
  const sum = (of: (batch: Batch) => number) => batches.reduce((all, batch) => all + of(batch), 0);
  const [trained, tokens] = ranks.sumOverData([
    sum((batch) => batch.trainedTokens),
    sum((batch) => batch.columns.tokens.length),
  ]) as [number, number];
  // Of all ranks: also those that read the same rows wait for each other in the step.
  if (ranks.any(failure !== undefined)) throw rowsFailure(failure);
  return { batches, trained, tokens };
}

/** The rows of the ranks whose own loss isn't finite; of all, where the gradients alone aren't. Every rank calls it. */
export async function suspectRows(
  batches: readonly Batch[],
  ownLoss: number,
  ranks: Ranks,
): Promise<number[]> {
  const part = ranks.data.rank;
  const rows = batches.flatMap(rowsOf);
  const all = await ranks.gather({ part, finite: Number.isFinite(ownLoss), rows });
  const guilty = all.filter(({ finite }) => !finite);
  // Ranks that have chunks of the same rows name them once.
  const byPart = new Map((guilty.length > 0 ? guilty : all).map((one) => [one.part, one.rows]));
  return [...byPart.values()].flat();
}
