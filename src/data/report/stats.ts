// What a data set is as training data: a ledger of every row, lengths in tokens, and how full sequences get.
// Reads each row once, in order, by the same rules as training; nothing is thrown for a bad row, it is counted.
import { fitRow } from "../pack/fit.ts";
import { Ledger } from "../load/ledger.ts";
import { openData, type OpenLoaderOptions } from "../load/open.ts";
import type { FormatName } from "../text/formats.ts";
import { PackBuffer } from "../pack/pack.ts";

/** Quantiles of a list of counts. */
export interface Quantiles {
  readonly min: number;
  readonly median: number;
  readonly mean: number;
  readonly p95: number;
  readonly max: number;
}

export interface DataStats {
  readonly ledger: Ledger;
  /** How the rows of each source were read. */
  readonly formats: readonly FormatName[];
  /** Tokens of the rows that are trained, before truncation. */
  readonly lengths: Quantiles;
  /** Tokens that are trained, of `tokens` that the model sees in an epoch, without padding. */
  readonly trainedTokens: number;
  readonly tokens: number;
  /** Sequences of an epoch, and the share of their positions that hold no padding. */
  readonly packed: { readonly sequences: number; readonly efficiency: number };
  readonly padded: { readonly sequences: number; readonly efficiency: number };
}

const rowsAhead = 512;

/**
 * Goes through a data set.
 * @param onProgress told how many of all rows are done, now and then.
 */
export async function dataStats(
  options: OpenLoaderOptions,
  onProgress: (done: number, rows: number) => void = () => {},
): Promise<DataStats> {
  const { seqLen, batchSize, onOverlong = "truncate" } = options;
  const { dataset, feed } = await openData(options);
  const ledger = new Ledger();
  const lengths: number[] = [];
  const kept: number[] = [];
  const buffer = new PackBuffer();
  let trainedTokens = 0;
  let packs = 0;
  try {
    for (let row = 0; row < dataset.length; row++) {
      if (row % rowsAhead === 0) {
        feed.request(
          Array.from({ length: Math.min(2 * rowsAhead, dataset.length - row) }, (_, i) => row + i),
        );
        onProgress(row, dataset.length);
      }
      const prepared = await feed.get(row);
      const { fate, columns, leftOut } = fitRow(prepared, { seqLen, onOverlong });
      ledger.count(fate, () => feed.placeOf(row), leftOut);
      if (columns === undefined) continue;
      lengths.push("columns" in prepared ? prepared.columns.tokens.length : 0);
      kept.push(columns.tokens.length);
      trainedTokens += columns.lossMask.reduce((sum, isTarget, t) => sum + (t > 0 ? isTarget : 0), 0);
      buffer.add({ row, columns });
      if (buffer.isFull(seqLen)) {
        buffer.take(seqLen);
        packs++;
      }
    }
  } finally {
    await feed.close();
  }
  for (; buffer.size > 0; packs++) buffer.take(seqLen);
  const tokens = kept.reduce((sum, length) => sum + length, 0);
  let padded = 0;
  for (let i = 0; i < kept.length; i += batchSize) {
    const batch = kept.slice(i, i + batchSize);
    padded += batch.length * Math.max(...batch);
  }
  return {
    ledger,
    formats: dataset.formats.map(({ format }) => format),
    lengths: quantiles(lengths),
    trainedTokens,
    tokens,
    packed: { sequences: packs, efficiency: packs === 0 ? 0 : tokens / (packs * seqLen) },
    padded: { sequences: kept.length, efficiency: padded === 0 ? 0 : tokens / padded },
  };
}

function quantiles(values: readonly number[]): Quantiles {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  const mean = sorted.length === 0 ? 0 : sorted.reduce((a, b) => a + b, 0) / sorted.length;
  return { min: at(0), median: at(0.5), mean, p95: at(0.95), max: at(1) };
}
