// A micro-batch as the model computes it: a batch's columns as tensors, the documents of all its sequences in one row, [T].
// Attention runs per document. Under context parallelism it is this rank's shard of each sequence.
import {
  makeBatch,
  mapColumns,
  paddingValues,
  sequenceSizes,
  splitSequences,
  zerosLike,
} from "../../data/index.ts";
import type { Batch, BatchColumns, Column } from "../../data/index.ts";
import { documentBoundaries, mixSeeds } from "../../nn/index.ts";
import type { ContextRegion, ContextShard } from "../../parallel/index.ts";
import { bool, fromTypedArray, int64, type Device, type Tensor } from "../../torch/index.ts";

/** A batch's columns by their names, [T] each; integers as int64. */
type TensorColumns = { readonly [Name in keyof BatchColumns]: Tensor };

export interface MicroBatch extends TensorColumns {
  /** Tokens of each document; their sum is T, or that of all ranks' with context parallelism. */
  readonly lengths: readonly number[];
  /** Where documents begin: [documents + 1], int32; off the CPU, where a layer would copy it there each time. */
  readonly boundaries?: Tensor | undefined;
  readonly shard?: ContextShard | undefined;
  /** Where some of this rank's tokens pad a sequence, so that it can be sharded: false for those, [T], bool. */
  readonly real?: Tensor | undefined;
  /** Tokens, of all ranks' with context parallelism, without those that pad. */
  readonly realTokens: number;
  /** Positions with a label, of all ranks' with context parallelism. */
  readonly trainedTokens: number;
  /** Of the masks by which adapters drop their inputs; undefined: they drop nothing. */
  readonly dropoutSeed?: number | undefined;
}

/**
 * Makes the tensors of a batch, in the current scope.
 * @param context the ranks among which sequences are sharded
 */
export function toMicroBatch(
  batch: Batch,
  device: Device | string = "cpu",
  context?: ContextRegion,
): MicroBatch {
  const { columns, trainedTokens } = batch;
  const realTokens = columns.tokens.length;
  const sequences = batch.sequences.map((documents) => documents.map(({ length }) => length));
  if (context === undefined) {
    const lengths = sequences.flat();
    return {
      ...mapColumns(columns, (values) => toTensor(values, device)),
      lengths,
      boundaries: String(device) === "cpu" ? undefined : documentBoundaries(lengths, device),
      realTokens,
      trainedTokens,
    };
  }
  const shard = context.shard(sequences);
  const chunks = chunksOf(batch, shard);
  const isPadded = chunks.some(({ tokens, length }) => tokens < length);
  const real = chunks.flatMap(({ tokens, length }) => Array.from({ length }, (_, i) => i < tokens));
  return {
    ...mapColumns(columns, (values, name) =>
      toTensor(gatherShards(values, chunks, paddingValues[name]), device),
    ),
    lengths: shard.lengths,
    shard,
    real: isPadded
      ? fromTypedArray(Uint8Array.from(real, Number), [real.length], { device }).to(bool)
      : undefined,
    realTokens,
    trainedTokens,
  };
}

/** The micro-batch in a step: with the masks of its number among the others. @param seed of the step and rank */
export function withDropout(batch: MicroBatch, seed: number | undefined, index: number): MicroBatch {
  if (seed === undefined) return batch;
  return { ...batch, dropoutSeed: mixSeeds(seed, index) };
}

/** Integers are int64, which operators take as indices; libtorch widens them, so none is ever a BigInt. */
const toTensor = (values: Column, device: Device | string): Tensor =>
  fromTypedArray(
    values,
    [values.length],
    values instanceof Int32Array ? { dtype: int64, device } : { device },
  );

/** Consecutive positions of a sequence: where its tokens begin in the batch, how many they are, and the padding after them. */
interface Chunk {
  readonly start: number;
  readonly tokens: number;
  /** With the padding. */
  readonly length: number;
}

function chunksOf(batch: Batch, shard: ContextShard): Chunk[] {
  const sizes = sequenceSizes(batch);
  const starts = sizes.map((_, b) => sizes.slice(0, b).reduce((sum, size) => sum + size, 0));
  return shard.chunks.map(({ row, from, to }) => ({
    start: starts[row]! + from,
    tokens: Math.max(0, Math.min(to, sizes[row]!) - from),
    length: to - from,
  }));
}

function gatherShards<A extends Column>(values: A, chunks: readonly Chunk[], padding = 0): A {
  const total = chunks.reduce((sum, { length }) => sum + length, 0);
  const gathered = zerosLike(values, total).fill(padding) as A;
  let at = 0;
  for (const { start, tokens, length } of chunks) {
    gathered.set(values.subarray(start, start + tokens), at);
    at += length;
  }
  return gathered;
}

/** What is computed where there is no sequence but others compute one: a token without a label. */
export const emptyBatch: Batch = makeBatch(
  [[{ row: 0, columns: { tokens: Int32Array.of(0), lossMask: Uint8Array.of(0) } }]],
  1,
);

/** Each sequence of a batch as a batch of its own, and empty ones after them where they are fewer than `atLeast`. */
export function sequencesOf(batch: Batch, atLeast = 0): Batch[] {
  const some = splitSequences(batch);
  return [...some, ...Array.from({ length: atLeast - some.length }, () => emptyBatch)];
}
