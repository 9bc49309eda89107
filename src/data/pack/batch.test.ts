import assert from "node:assert/strict";
import { test } from "node:test";

import { makeBatch, paddingOf, padBatch, rowsOf, splitSequences, type Document } from "./batch.ts";

const document = (row: number, tokens: number[], lossMask: number[]): Document => ({
  row,
  columns: { tokens: Int32Array.from(tokens), lossMask: Uint8Array.from(lossMask) },
});
const batch = makeBatch(
  [[document(7, [5, 6, 7], [0, 0, 1]), document(3, [8, 9], [0, 1])], [document(4, [1, 2], [1, 0])]],
  6,
);

test("documents one after the other, without padding; labels one position before their tokens", () => {
  assert.deepEqual(batch.columns, {
    tokens: Int32Array.of(5, 6, 7, 8, 9, 1, 2),
    labels: Int32Array.of(-100, 7, -100, 9, -100, -100, -100),
    positions: Int32Array.of(0, 1, 2, 0, 1, 0, 1),
  });
  assert.deepEqual([batch.trainedTokens, paddingOf(batch), rowsOf(batch)], [2, 5, [7, 3, 4]]);
  assert.throws(() => makeBatch([[document(0, [1, 2], [0, 1])]], 1), {
    message: "documents of 2 tokens in a sequence of 1",
  });
});

test("padded to [B, S]: padding has no label and is a document of its own", () => {
  assert.deepEqual(padBatch(batch, 99), {
    tokens: Int32Array.of(5, 6, 7, 8, 9, 99, 1, 2, 99, 99, 99, 99),
    labels: Int32Array.of(-100, 7, -100, 9, -100, -100, -100, -100, -100, -100, -100, -100),
    positions: Int32Array.of(0, 1, 2, 0, 1, 0, 0, 1, 0, 0, 0, 0),
    documentIds: Int32Array.of(0, 0, 0, 1, 1, 2, 0, 0, 1, 1, 1, 1),
  });
});

test("each sequence as a batch of its own", () => {
  const [first, second] = splitSequences(batch);
  assert.deepEqual(first!.columns.labels, Int32Array.of(-100, 7, -100, 9, -100));
  assert.deepEqual([first!.trainedTokens, rowsOf(first!), paddingOf(first!)], [2, [7, 3], 1]);
  assert.deepEqual([second!.trainedTokens, rowsOf(second!), second!.columns.tokens.length], [0, [4], 2]);
});

test("a further column goes along by its name, aligned as the labels are", () => {
  const weighted = (row: number, weights: number[]): Document => {
    const { columns } = document(
      row,
      weights.map((_, t) => t),
      weights.map(() => 1),
    );
    return { row, columns: { ...columns, weights: Float32Array.from(weights) } as Document["columns"] };
  };
  const made = makeBatch([[weighted(0, [0, 0.25, 0.5])], [weighted(1, [0, 2])]], 4);
  const weightsOf = (columns: object): unknown => (columns as Record<string, unknown>)["weights"];
  assert.deepEqual(weightsOf(made.columns), Float32Array.of(0.25, 0.5, 0, 2, 0));
  assert.deepEqual(weightsOf(padBatch(made)), Float32Array.of(0.25, 0.5, 0, 0, 2, 0, 0, 0));
  assert.deepEqual(weightsOf(splitSequences(made)[1]!.columns), Float32Array.of(2, 0));
});
