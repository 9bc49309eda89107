// Columns as tensors: whole, and as the shards of a context-parallel rank, whatever columns there are.
import assert from "node:assert/strict";
import test from "node:test";

import type { ProcessGroup } from "../../comm/index.ts";
import { makeBatch, type Document } from "../../data/index.ts";
import { ContextRegion } from "../../parallel/index.ts";
import { scope, type Tensor } from "../../torch/index.ts";
import { toMicroBatch } from "./micro-batch.ts";

const document = (row: number, length: number): Document => {
  const columns = {
    tokens: Int32Array.from({ length }, (_, t) => 10 * row + t),
    lossMask: new Uint8Array(length).fill(1),
    weights: Float32Array.from({ length }, (_, t) => row + t / 4),
  };
  return { row, columns };
};
const batch = makeBatch([[document(1, 3), document(2, 2)], [document(3, 4)]], 6);
const valuesOf = (tensor: unknown): number[] => ((tensor as Tensor).tolist() as number[]).map(Number);

test("a batch's columns by their names; integers as int64", () => {
  using _ = scope();
  const micro = toMicroBatch(batch) as ReturnType<typeof toMicroBatch> & { weights: Tensor };
  assert.deepEqual(valuesOf(micro.tokens), [10, 11, 12, 20, 21, 30, 31, 32, 33]);
  assert.deepEqual(valuesOf(micro.labels), [11, 12, -100, 21, -100, 31, 32, 33, -100]);
  assert.deepEqual(valuesOf(micro.positions), [0, 1, 2, 0, 1, 0, 1, 2, 3]);
  assert.deepEqual(valuesOf(micro.weights), [1.25, 1.5, 0, 2.25, 0, 3.25, 3.5, 3.75, 0]);
  assert.deepEqual(
    [micro.tokens, micro.labels, micro.positions, micro.weights].map(({ dtype }) => dtype.name),
    ["int64", "int64", "int64", "float32"],
  );
  assert.deepEqual([micro.lengths, micro.realTokens, micro.trainedTokens], [[3, 2, 4], 9, 6]);
});

test("shards of two ranks: each sequence padded to four chunks, of which a rank has the first and the last", () => {
  using _ = scope();
  const [first, second] = [0, 1].map((rank) => {
    const region = new ContextRegion({ rank, size: 2 } as ProcessGroup, "allgather");
    return toMicroBatch(batch, "cpu", region) as ReturnType<typeof toMicroBatch> & { weights: Tensor };
  });
  // Of 5 tokens chunks of 2, the last one padding; of 4 tokens chunks of 1.
  assert.deepEqual(valuesOf(first!.tokens), [10, 11, 0, 0, 30, 33]);
  assert.deepEqual(valuesOf(first!.labels), [11, 12, -100, -100, 31, -100]);
  assert.deepEqual(valuesOf(first!.weights), [1.25, 1.5, 0, 0, 3.25, 0]);
  assert.deepEqual(valuesOf(first!.real), [1, 1, 0, 0, 1, 1]);
  assert.deepEqual(valuesOf(second!.tokens), [12, 20, 21, 0, 31, 32]);
  assert.deepEqual(valuesOf(second!.positions), [2, 0, 1, 0, 1, 2]);
  assert.deepEqual(valuesOf(second!.weights), [0, 2.25, 0, 0, 3.5, 3.75]);
  assert.deepEqual(valuesOf(second!.real), [1, 1, 1, 0, 1, 1]);
  assert.deepEqual(first!.lengths, [3, 2, 3, 4]);
  assert.deepEqual([second!.realTokens, second!.trainedTokens], [9, 6]);
});
