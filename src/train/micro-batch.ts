// A micro-batch as the model computes it: the documents of all its sequences in one row, [T], without the padding between
// them. Padding would cost as much as tokens do, and attention runs per document anyway.
import { documentBoundaries } from "../models/index.ts";
import { fromTypedArray, type Device, type Tensor } from "../torch/index.ts";

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
  /** Tokens of each document; their sum is T. */
  lengths: number[];
  /** Where documents begin: [documents + 1], int32; off the CPU, where a layer would copy it there each time. */
  boundaries?: Tensor | undefined;
  /** Positions with a label. */
  trainedTokens: number;
}

/** Makes the tensors of a batch, in the current scope. */
export function toMicroBatch(batch: PackedBatch, device: Device | string = "cpu"): MicroBatch {
  const lengths: number[] = [];
  const stretches: [from: number, to: number][] = [];
  for (const [b, documents] of batch.documentLengths.entries()) {
    const real = documents.slice(0, batch.rows[b]!.length);
    lengths.push(...real);
    const from = b * batch.seqLen;
    stretches.push([from, from + real.reduce((sum, length) => sum + length, 0)]);
  }
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const gather = (values: Int32Array): Tensor => {
    const flat = new BigInt64Array(total);
    let at = 0;
    for (const [from, to] of stretches) for (let i = from; i < to; i++) flat[at++] = BigInt(values[i]!);
    return fromTypedArray(flat, [total], { device, copy: false });
  };
  return {
    tokens: gather(batch.tokens),
    labels: gather(batch.labels),
    positions: gather(batch.positions),
    lengths,
    boundaries: String(device) === "cpu" ? undefined : documentBoundaries(lengths, device),
    trainedTokens: batch.trainedTokens,
  };
}

/** Each row of a batch as a batch of its own. */
export function rowsOf(batch: PackedBatch): PackedBatch[] {
  const { seqLen, documentLengths } = batch;
  return documentLengths.map((lengths, b) => {
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
}
