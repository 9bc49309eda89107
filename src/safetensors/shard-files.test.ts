import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { openModelWeights } from "./model-folder.ts";
import { openSafetensors } from "./reader.ts";
import { openShardFiles, shardFileName, shardMetadata } from "./shard-files.ts";
import { writeSafetensors } from "./writer.ts";

let folder = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "torchforge-shards-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const bytesOf = (values: readonly number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

/** A rank's file: rows of "w" [5, 2] from `start`, and on the first rank a scalar. */
function write(path: string, index: number, start: number, rows: readonly (readonly number[])[]): void {
  const shape = [rows.length, 2];
  const tensors = [{ name: "w", dtype: "F32", shape, start, data: () => bytesOf(rows.flat()) } as const];
  const scalar = { name: "step", dtype: "F32", shape: [], start: 0, data: () => bytesOf([7]) } as const;
  const all = index === 0 ? [...tensors, scalar] : tensors;
  writeSafetensors(join(path, shardFileName("model", index)), all, { metadata: shardMetadata(all) });
}

void test("files of several ranks are read as whole tensors, by any byte range", () => {
  write(folder, 0, 0, [
    [0, 1],
    [2, 3],
    [4, 5],
  ]);
  write(folder, 1, 3, [
    [6, 7],
    [8, 9],
  ]);
  using source = openModelWeights(folder);
  assert.deepEqual([...source.names].sort(), ["step", "w"]);
  assert.deepEqual(source.info("w").shape, [5, 2]);
  assert.deepEqual(source.read("w"), bytesOf([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
  assert.deepEqual(source.read("step"), bytesOf([7]));
  const across = new Uint8Array(16);
  source.readInto("w", across, 20);
  assert.deepEqual(across, bytesOf([5, 6, 7, 8]));
  assert.throws(() => source.readInto("w", across, 32), /w has 40 bytes; bytes 32 to 48 were asked for/);
  using parts = openShardFiles(folder, "model");
  assert.deepEqual(
    parts.pieces("w").map(({ start, length }) => [start, length]),
    [
      [0, 3],
      [3, 2],
    ],
  );
});

void test("the header says where parts begin, as torch.distributed.checkpoint writes it", () => {
  using file = openSafetensors(join(folder, "shard-00002-model-00001-of-00001.safetensors"));
  assert.deepEqual(file.metadata, {
    format: "pt",
    DCP_VERSION: "1.0",
    DCP_SHARDING_INFO: '{"w":{"saved_offsets":[3,0]}}',
  });
});

void test("a part that is missing is named", () => {
  const made = mkdtempSync(join(tmpdir(), "torchforge-shards-"));
  try {
    write(made, 1, 3, [[6, 7]]);
    assert.throws(() => openModelWeights(made), {
      name: "UserError",
      message: `${join(made, shardFileName("model", 1))}: its part of w begins at row 3, expected 0: a file of another rank is missing or of another checkpoint.`,
    });
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
});

void test("a damaged header of pieces, a folder or a pointer in a file's place are named", () => {
  const place = mkdtempSync(join(folder, "damaged-"));
  const path = join(place, shardFileName("model", 0));
  const tensor = { name: "w", dtype: "F32", shape: [1, 2], data: () => bytesOf([1, 2]) } as const;
  const faults: [string, RegExp][] = [
    ["{", /DCP_SHARDING_INFO in its header is not JSON/],
    ["null", /DCP_SHARDING_INFO in its header is not a JSON object/],
    ['{"w":null}', /has no saved_offsets of w, a list of whole numbers/],
    ['{"w":{"saved_offsets":3}}', /has no saved_offsets of w/],
    ['{"w":{"saved_offsets":["0",0.5]}}', /has no saved_offsets of w/],
  ];
  for (const [info, message] of faults) {
    writeSafetensors(path, [tensor], { metadata: { DCP_SHARDING_INFO: info } });
    assert.throws(() => openShardFiles(place, "model"), { name: "UserError", message });
  }
  writeFileSync(path, `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 9\n`);
  assert.throws(() => openSafetensors(path), { name: "UserError", message: /is a pointer of Git LFS/ });
  rmSync(path);
  mkdirSync(path);
  assert.throws(() => openSafetensors(path), { name: "UserError", message: /it is a folder/ });
});
