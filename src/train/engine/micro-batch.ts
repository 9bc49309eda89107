// A micro-batch as the model computes it: the documents of all its sequences in one row, [T], without the padding between
// them. Padding would cost as much as tokens do, and attention runs per document anyway. Under context parallelism it is
// this rank's chunks of them.
import { documentBoundaries } from "../../nn/index.ts";
import type { ContextRegion, CutRows } from "../../parallel/index.ts";
import { bool, fromTypedArray, type Device, type Tensor } from "../../torch/index.ts";

/** What a loader gives (see data's Batch): row-major arrays [B, S]. */
export interface PackedBatch {
  readonly seqLen: number;
  readonly tokens: Int32Array;
  /** -100 where nothing is trained. */
  readonly labels: Int32Array;
  readonly positions: Int32Array;
  /** Of each sequence, the lengths of its documents, summing to S; the last is padding where `rows` has no entry for it. */
  readonly documentLengths: readonly (readonly number[])[];
  readonly rows: readonly (readonly number[])[];
  readonly trainedTokens: number;
}

export interface MicroBatch {
  /** [T], int64. */
  tokens: Tensor;
  /** [T], int64; -100: none. */
  labels: Tensor;
  /** [T], int64. */
  positions: Tensor;
  /** Tokens of each document; their sum is T, or that of all ranks' with a cut. */
  lengths: readonly number[];
  /** Where documents begin: [documents + 1], int32; off the CPU, where a layer would copy it there each time. */
  boundaries?: Tensor | undefined;
  cut?: CutRows | undefined;
  /** Where some of this rank's tokens pad a row, so that it can be cut: false for those, [T], bool. */
  real?: Tensor | undefined;
  /** Tokens, of all ranks' with a cut, without those that pad. */
  realTokens: number;
  /** Positions with a label, of all ranks' with a cut. */
  trainedTokens: number;
}

/** What stands where a row is padded so that it can be cut. */
const padding = { token: 0, label: -100, position: 0 };

/**
 * Makes the tensors of a batch, in the current scope.
 * @param context the ranks among which rows are cut
 */
export function toMicroBatch(
  batch: PackedBatch,
  device: Device | string = "cpu",
  context?: ContextRegion,
): MicroBatch {
  const rows = batch.documentLengths.map((documents, b) => documents.slice(0, batch.rows[b]!.length));
  const sizes = rows.map((lengths) => lengths.reduce((sum, length) => sum + length, 0));
  const cut = context?.cut(rows);
  const lengths = cut?.lengths ?? rows.flat();
  const stretches = cut?.stretches ?? sizes.map((to, row) => ({ row, from: 0, to }));
  const total = stretches.reduce((sum, { from, to }) => sum + to - from, 0);
  const gather = (values: Int32Array, pad: number): Tensor => {
    const flat = new BigInt64Array(total);
    let at = 0;
    for (const { row, from, to } of stretches) {
      const size = sizes[row]!;
      for (let i = from; i < to; i++) flat[at++] = BigInt(i < size ? values[row * batch.seqLen + i]! : pad);
    }
    return fromTypedArray(flat, [total], { device, copy: false });
  };
  const isPadded = stretches.some(({ row, to }) => to > sizes[row]!);
  const real = isPadded
    ? stretches.flatMap(({ row, from, to }) =>
        Array.from({ length: to - from }, (_, i) => Number(from + i < sizes[row]!)),
      )
    : undefined;
  return {
    tokens: gather(batch.tokens, padding.token),
    labels: gather(batch.labels, padding.label),
    positions: gather(batch.positions, padding.position),
    lengths,
    boundaries: cut || String(device) === "cpu" ? undefined : documentBoundaries(lengths, device),
    cut,
    real: real && fromTypedArray(Uint8Array.from(real), [total], { device }).to(bool),
    realTokens: sizes.reduce((sum, size) => sum + size, 0),
    trainedTokens: batch.trainedTokens,
  };
}

/** Each row of a batch as a batch of its own. */
export function rowsOf(batch: PackedBatch, atLeast = 0): PackedBatch[] {
  const { seqLen, documentLengths } = batch;
  const rows = documentLengths.map((lengths, b) => {
    const row = (values: Int32Array): Int32Array => values.subarray(b * seqLen, (b + 1) * seqLen);
    const labels = row(batch.labels);
    return {
      seqLen,
      tokens: row(batch.tokens),
      labels,
      positions: row(batch.positions),
      documentLengths: [lengths],
      rows: [batch.rows[b]!],
      trainedTokens: labels.reduce((sum, label) => sum + (label >= 0 ? 1 : 0), 0),
    };
  });
  return [...rows, ...Array.from({ length: atLeast - rows.length }, () => emptyRow)];
}

/** What is computed where there is no row but others compute one: a token without a label. */
export const emptyRow: PackedBatch = {
  seqLen: 1,
  tokens: Int32Array.of(0),
  labels: Int32Array.of(-100),
  positions: Int32Array.of(0),
  documentLengths: [[1]],
  rows: [[0]],
  trainedTokens: 0,
};
