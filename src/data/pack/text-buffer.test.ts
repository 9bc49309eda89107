import assert from "node:assert/strict";
import { test } from "node:test";
import type { Document } from "./batch.ts";
import { TextBuffer } from "./text-buffer.ts";

/** Tokens `from`, `from` + 1, … */
const document = (row: number, from: number, length: number): Document => ({
  row,
  columns: {
    tokens: Int32Array.from({ length }, (_, t) => from + t),
    lossMask: new Uint8Array(length).fill(1),
  },
});
const shown = (documents: readonly Document[]): string =>
  documents.map(({ row, columns }) => `${row}:${columns.tokens.join()}`).join(" ");

test("documents follow each other without a gap; a cut one goes on with its last token", () => {
  const buffer = new TextBuffer();
  buffer.add(document(0, 10, 3));
  buffer.add(document(1, 20, 9));
  assert.equal(buffer.isFull(8), true);
  assert.equal(shown(buffer.take(8)), "0:10,11,12 1:20,21,22,23,24");
  assert.deepEqual([buffer.rows, buffer.offset], [[1], 4]);
  assert.equal(buffer.isFull(8), false);
  buffer.add(document(2, 30, 4));
  assert.equal(shown(buffer.take(8)), "1:24,25,26,27,28 2:30,31,32");
  assert.equal(shown(buffer.take(8)), "2:32,33");
  assert.deepEqual(buffer.take(8), []);
});

test("one position is left where a further document would have one token in it", () => {
  const buffer = new TextBuffer();
  for (const row of [0, 1]) buffer.add(document(row, 10, 7));
  assert.equal(shown(buffer.take(8)), "0:10,11,12,13,14,15,16");
});

test("of every document each token but the first is predicted once, whatever the lengths", () => {
  const buffer = new TextBuffer();
  const lengths = [1, 2, 50, 7, 8, 9, 33, 1, 16];
  for (const [row, length] of lengths.entries()) buffer.add(document(row, 100 * row, length));
  const predicted: number[] = [];
  for (let taken = buffer.take(8); taken.length > 0; taken = buffer.take(8)) {
    assert.ok(taken.reduce((sum, { columns }) => sum + columns.tokens.length, 0) <= 8);
    for (const { columns } of taken) predicted.push(...columns.tokens.subarray(1));
  }
  assert.deepEqual(
    predicted,
    lengths.flatMap((length, row) => Array.from({ length: length - 1 }, (_, t) => 100 * row + t + 1)),
  );
});

test("a position of a saved buffer is taken up again", () => {
  const buffer = new TextBuffer();
  buffer.add(document(3, 10, 20));
  buffer.take(8);
  const again = new TextBuffer();
  again.add(document(3, 10, 20));
  again.skip(buffer.offset);
  assert.equal(shown(again.take(8)), shown(buffer.take(8)));
});
