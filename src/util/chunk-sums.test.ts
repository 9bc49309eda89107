import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32 } from "node:zlib";

import {
  checkedReader,
  chunkBytes,
  chunkFaultText,
  ChunkSums,
  chunkSumsOf,
  joinChunkSums,
  sealHolds,
  sealJson,
  type ReadAt,
} from "./chunk-sums.ts";

/** Bytes that a seed determines. */
function bytesOf(length: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length }, () => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) >>> 16);
}

const file = bytesOf(2 * chunkBytes + 12_345, 1);

void test("one writer's pieces sum up to the file's checksums, and to those of its tensors", () => {
  const sums = new ChunkSums(file.length);
  const pieces = [0, 8, 1000, chunkBytes - 1, chunkBytes + 70_000, file.length];
  let checksum = 0;
  for (const [i, begin] of pieces.slice(0, -1).entries())
    checksum = sums.add(file.subarray(begin, pieces[i + 1]), begin, checksum);
  assert.equal(checksum, crc32(file));
  assert.deepEqual(joinChunkSums([sums.parts], file.length), chunkSumsOf(file));
});

void test("several writers' pieces in any order sum up to the same", () => {
  const writers = [new ChunkSums(file.length), new ChunkSums(file.length)];
  const step = 4099;
  const starts = Array.from({ length: Math.ceil(file.length / step) }, (_, i) => i * step);
  for (const [i, begin] of starts.toReversed().entries())
    writers[i % 2]!.add(file.subarray(begin, begin + step), begin);
  const parts = writers.map((one) => [...one.parts]);
  assert.deepEqual(joinChunkSums(parts, file.length), chunkSumsOf(file));
});

void test("every range is read as it is, each chunk once in a pass, and a flip anywhere near it is told", () => {
  const sums = chunkSumsOf(file);
  let bytesRead = 0;
  const readOf =
    (bytes: Uint8Array): ReadAt =>
    (into, position) => {
      into.set(bytes.subarray(position, position + into.length));
      bytesRead += into.length;
      return into.length;
    };
  const fail = (fault: Parameters<typeof chunkFaultText>[0]): Error => new Error(chunkFaultText(fault));
  const read = checkedReader(readOf(file), file.length, sums, fail);
  for (let at = 0; at < file.length; at += 100_001) {
    const into = new Uint8Array(Math.min(100_001, file.length - at));
    assert.equal(read(into, at), into.length);
    assert.ok(Buffer.compare(into, file.subarray(at, at + into.length)) === 0);
  }
  assert.equal(bytesRead, file.length);
  const all = new Uint8Array(file.length + 5);
  assert.equal(read(all, 0), file.length);
  assert.ok(Buffer.compare(all.subarray(0, file.length), file) === 0);

  const damaged = file.slice();
  damaged[chunkBytes + 5]! ^= 4;
  const reader = checkedReader(readOf(damaged), file.length, sums, fail);
  const told = /^Error: bytes 1048576 to 2097151 are not what was saved \(checksum \d+, expected \d+\)$/;
  assert.throws(() => reader(new Uint8Array(4), 2 * chunkBytes - 4), told);
  assert.throws(() => reader(new Uint8Array(file.length), 0), told);
  assert.equal(reader(new Uint8Array(10), 0), 10);
});

void test("a sealed text tells of every flipped bit", () => {
  const text = sealJson(JSON.stringify({ format: "x", step: 3 }));
  assert.deepEqual(Object.keys(JSON.parse(text) as object), ["format", "step", "crc32"]);
  assert.equal(sealHolds(text), true);
  assert.equal(sealHolds('{"format":"x"}\n'), undefined);
  const bytes = Buffer.from(text);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    assert.notEqual(sealHolds(flipped.toString("utf8")), true);
  }
});
