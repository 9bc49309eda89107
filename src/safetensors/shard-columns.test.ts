import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { openShardFiles, shardFileName, shardMetadata } from "./shard-files.ts";
import { writeSafetensors } from "./writer.ts";

let folder = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "torchforge-columns-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const [rows, columns] = [5, 6];
const bytesOf = (values: readonly number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
const all = bytesOf(Array.from({ length: rows * columns }, (_, i) => i));

/** A rank's file with some rows and columns of "w" [5, 6], whose elements count from 0. */
function write(index: number, [row, height]: [number, number], [column, width]: [number, number]): void {
  const values = Array.from({ length: height * width }, (_, i) => {
    return (row + Math.floor(i / width)) * columns + column + (i % width);
  });
  const one = { name: "w", dtype: "F32", shape: [height, width], data: () => bytesOf(values) } as const;
  writeSafetensors(join(folder, shardFileName("model", index)), [one], {
    metadata: shardMetadata([{ ...one, start: row, columns: { start: column } }]),
  });
}

void test("pieces of rows and columns are read as whole tensors, by any byte range, and report what was read", () => {
  write(0, [0, 3], [0, 2]);
  write(1, [0, 2], [2, 4]);
  write(2, [3, 2], [0, 2]);
  write(3, [2, 3], [2, 4]);
  using source = openShardFiles(folder, "model");
  assert.deepEqual(source.info("w").shape, [rows, columns]);
  assert.deepEqual(source.read("w"), all);
  for (let begin = 0; begin < all.length; begin += 4) {
    for (let end = begin + 4; end <= all.length; end += 4) {
      const into = new Uint8Array(end - begin);
      source.readInto("w", into, begin);
      assert.deepEqual(into, all.subarray(begin, end), `bytes ${begin} to ${end}`);
    }
  }
  // What a part's reader is told is that part's own bytes, at their own places.
  const seen = source.pieces("w").map(({ bytes }) => new Uint8Array(bytes).fill(255));
  for (let begin = 0; begin < all.length; begin += 20) {
    source.readInto("w", new Uint8Array(20), begin, (piece, bytes, at) =>
      seen[source.pieces("w").indexOf(piece)]!.set(bytes, at),
    );
  }
  for (const [i, { start, length, columns: some }] of source.pieces("w").entries()) {
    const expected = Array.from({ length: length * some!.length }, (_, at) => {
      return (start + Math.floor(at / some!.length)) * columns + some!.start + (at % some!.length);
    });
    assert.deepEqual(seen[i], bytesOf(expected));
  }
});

void test("a missing file of some columns is found", () => {
  rmSync(join(folder, shardFileName("model", 0)));
  assert.throws(() => openShardFiles(folder, "model"), {
    name: "UserError",
    message: /its part of w begins at row 3, expected 0: a file of another rank is missing/,
  });
  rmSync(join(folder, shardFileName("model", 2)));
  assert.throws(() => openShardFiles(folder, "model"), {
    name: "UserError",
    message: /its part of w is 5 rows from column 2 on, expected 5 rows from column 0 on: a file/,
  });
});
