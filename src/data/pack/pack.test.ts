import assert from "node:assert/strict";
import { test } from "node:test";
import type { Document } from "./batch.ts";
import { PackBuffer } from "./pack.ts";
import { Random } from "../load/random.ts";

const document = (row: number, length: number): Document => ({
  row,
  columns: { tokens: new Int32Array(length).fill(1), lossMask: new Uint8Array(length).fill(1) },
});
const buffer = (...lengths: number[]): PackBuffer => {
  const made = new PackBuffer();
  for (const [row, length] of lengths.entries()) made.add(document(row, length));
  return made;
};
const lengthsOf = (documents: readonly Document[]): number[] =>
  documents.map(({ columns }) => columns.tokens.length);

void test("the oldest goes first, with those beside it that leave the least room", () => {
  const waiting = buffer(5, 9, 4, 4, 3, 7);
  // 5 leaves 11: 7 + 4 fills it, 9 would not.
  assert.deepEqual(lengthsOf(waiting.take(16)), [5, 4, 7]);
  assert.deepEqual(waiting.rows, [1, 3, 4]);
  assert.deepEqual(lengthsOf(waiting.take(16)), [9, 3, 4]);
  assert.deepEqual(waiting.take(16), []);
});

void test("a document of the whole length goes alone; at 0 the oldest goes alone", () => {
  const waiting = buffer(16, 1, 2);
  assert.deepEqual(lengthsOf(waiting.take(16)), [16]);
  assert.deepEqual(lengthsOf(waiting.take(0)), [1]);
  assert.deepEqual(waiting.rows, [2]);
});

void test("every pack is the fullest that its oldest document allows", { timeout: 60_000 }, () => {
  const random = new Random(3);
  for (let trial = 0; trial < 200; trial++) {
    const lengths = Array.from({ length: 10 }, () => 1 + random.below(20));
    const others = lengths.slice(1);
    let best = 0;
    for (let subset = 0; subset < 2 ** others.length; subset++) {
      const sum = others.reduce((total, length, i) => total + ((subset >> i) & 1 ? length : 0), 0);
      if (lengths[0]! + sum <= 40) best = Math.max(best, lengths[0]! + sum);
    }
    const pack = buffer(...lengths).take(40);
    assert.equal(
      lengthsOf(pack).reduce((a, b) => a + b, 0),
      best,
    );
    assert.equal(new Set(pack.map(({ row }) => row)).size, pack.length);
    assert.equal(pack[0]!.row, 0);
  }
});

void test("full by rows or by tokens", () => {
  const waiting = buffer(...Array.from({ length: 255 }, () => 1));
  assert.equal(waiting.isFull(1000), false);
  waiting.add(document(255, 1));
  assert.equal(waiting.isFull(1000), true);
  assert.equal(buffer(100, 60).isFull(10), true);
});
