// Files as the reference implementation writes them (test/gguf/make_fixtures.py made one), round trips, shards, and
// every way in which a file can be broken.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { dtypeBytes, isSafetensorsDtype } from "./dtypes.ts";
import { openModelWeights } from "./model-folder.ts";
import { openSafetensors } from "./reader.ts";
import { planShards, writeModelWeights, writeSafetensors, type TensorToWrite } from "./writer.ts";

const byPython = join(import.meta.dirname, "..", "..", "test", "gguf", "fixtures", "quants.safetensors");
const fixtures = join(import.meta.dirname, "..", "..", "test", "safetensors");
let work = "";
before(() => {
  work = mkdtempSync(join(tmpdir(), "torchforge-safetensors-"));
});
after(() => rmSync(work, { recursive: true, force: true }));

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Bytes 0, 1, 2 … of a tensor's size. */
function counting(name: string, dtype: TensorToWrite["dtype"], shape: number[]): TensorToWrite {
  const bytes = shape.reduce((a, b) => a * b, 1) * dtypeBytes[dtype];
  return { name, dtype, shape, data: () => Uint8Array.from({ length: bytes }, (_, i) => i & 255) };
}

void test("a file written again has the bytes that Python wrote", () => {
  using file = openSafetensors(byPython);
  assert.equal(file.names.length, 13);
  const copy = join(work, "copy.safetensors");
  const tensors = [...file.names].reverse().map((name) => {
    const { dtype, shape } = file.info(name);
    return { name, dtype, shape, data: () => file.read(name) };
  });
  writeSafetensors(copy, tensors, { metadata: file.metadata });
  assert.equal(sha256(readFileSync(copy)), sha256(readFileSync(byPython)));
});

void test("every dtype comes out as Python writes it, in Python's order", () => {
  const manifest = JSON.parse(readFileSync(join(fixtures, "dtypes.json"), "utf8")) as {
    tensors: Array<{ name: string; dtype: string; shape: number[]; sha256: string }>;
    file: string;
  };
  const path = join(fixtures, "dtypes.safetensors");
  using file = openSafetensors(path);
  assert.equal(file.names.length, manifest.tensors.length);
  for (const tensor of manifest.tensors) {
    assert.equal(file.info(tensor.name).dtype, tensor.dtype);
    assert.deepEqual(file.info(tensor.name).shape, tensor.shape);
    assert.equal(sha256(file.read(tensor.name)), tensor.sha256, tensor.name);
  }
  const copy = join(work, "dtypes.safetensors");
  writeSafetensors(
    copy,
    manifest.tensors.map(({ name, dtype, shape }) => {
      assert.ok(isSafetensorsDtype(dtype), dtype);
      return { name, dtype, shape, data: () => file.read(name) };
    }),
    { metadata: file.metadata },
  );
  assert.equal(sha256(readFileSync(copy)), manifest.file);
});

void test("parts of a tensor are read in place", () => {
  const path = join(work, "parts.safetensors");
  writeSafetensors(path, [counting("a", "U8", [3, 4]), counting("b", "F32", [2])]);
  using file = openSafetensors(path);
  const memory = new Uint8Array(10).fill(99);
  file.readInto("a", memory.subarray(2, 6), 5);
  assert.deepEqual([...memory], [99, 99, 5, 6, 7, 8, 99, 99, 99, 99]);
  assert.throws(() => file.readInto("a", new Uint8Array(8), 5), {
    name: "RangeError",
    message: /a has 12 bytes; bytes 5 to 13 were asked for/,
  });
  assert.throws(() => file.info("c"), { name: "UserError", message: /holds no tensor c/ });
  file.close();
  assert.throws(() => file.read("a"), /read after close/);
});

void test("scalars, empty tensors and odd names", () => {
  const path = join(work, "odd.safetensors");
  const odd = 'quote " slash \\ ü __proto__';
  writeSafetensors(path, [
    counting("scalar", "F64", []),
    counting("empty", "F32", [0, 4]),
    counting(odd, "I8", [1]),
    counting("__proto__", "U8", [1]),
  ]);
  using file = openSafetensors(path);
  assert.deepEqual(file.info("scalar").shape, []);
  assert.equal(file.info("scalar").length, 8);
  assert.equal(file.read("empty").length, 0);
  assert.equal(file.info(odd).dtype, "I8");
  assert.equal(file.info("__proto__").length, 1);
  assert.deepEqual(file.metadata, { format: "pt" });
});

/** A file with this header and this many bytes of data. */
function crafted(header: unknown, dataBytes: number): string {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = Buffer.alloc(8 + json.length + dataBytes);
  bytes.writeBigUInt64LE(BigInt(json.length), 0);
  json.copy(bytes, 8);
  const path = join(work, "crafted.safetensors");
  writeFileSync(path, bytes);
  return path;
}

const f32 = (begin: number, end: number, shape = [(end - begin) / 4]): unknown => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, end],
});

void test("a broken file is named with what is broken", () => {
  const cases: Array<[unknown, number, RegExp]> = [
    [
      { a: f32(0, 8), b: f32(4, 12) },
      12,
      /tensor b overlaps the tensor before it \(starts at byte \d+, expected \d+\)/,
    ],
    [{ a: f32(0, 8), b: f32(12, 16) }, 16, /tensor b leaves a hole before it/],
    [{ a: f32(4, 8) }, 8, /tensor a leaves a hole before it/],
    [{ a: f32(0, 8) }, 4, /truncated: its tensors end at byte \d+, the file at \d+/],
    [{ a: f32(0, 8) }, 12, /4 bytes follow its last tensor/],
    [{ a: f32(0, 8, [3]) }, 8, /tensor a: F32 \[3\] takes 12 bytes, its data_offsets span 8/],
    [{ a: f32(8, 0, [0]) }, 8, /tensor a has data_offsets \[8,0\]/],
    [{ a: f32(0, 8, [-2]) }, 8, /tensor a has shape \[-2\]/],
    [{ a: f32(0, 8, [1.5]) }, 8, /tensor a has shape \[1\.5\]/],
    [
      { a: { dtype: "F4", shape: [2], data_offsets: [0, 1] } },
      1,
      /tensor a has dtype F4, expected one of BOOL, /,
    ],
    [{ a: 5 }, 0, /tensor a has no description/],
    [{ __metadata__: { a: 1 } }, 0, /__metadata__ is not a map of text to text/],
    ["[]", 0, /its header is not a JSON object/],
    ["{", 0, /its header is not JSON/],
  ];
  for (const [header, dataBytes, message] of cases) {
    const path = crafted(header, dataBytes);
    assert.throws(
      () => openSafetensors(path),
      (error: Error) => {
        assert.equal(error.name, "UserError");
        assert.match(error.message, message);
        assert.ok(error.message.startsWith(path));
        return true;
      },
    );
  }
  const short = join(work, "short.safetensors");
  writeFileSync(short, "abc");
  assert.throws(() => openSafetensors(short), { message: /expected at least 8 bytes, found 3/ });
  writeFileSync(short, Buffer.alloc(16, 255));
  assert.throws(() => openSafetensors(short), { message: /its header claims 18446744073709551615 bytes/ });
  writeFileSync(short, Buffer.concat([Buffer.from([200, 0, 0, 0, 0, 0, 0, 0]), Buffer.from("{}")]));
  assert.throws(() => openSafetensors(short), {
    message: /its header claims 200 bytes, the file has 2 after its first 8/,
  });
  assert.throws(() => openSafetensors(join(work, "absent.safetensors")), {
    name: "UserError",
    message: /cannot be read/,
  });
});

void test("a file that shrinks after it was opened is noticed", () => {
  const path = join(work, "shrinks.safetensors");
  const bytes = writeSafetensors(path, [counting("a", "F32", [100])]);
  using file = openSafetensors(path);
  truncateSync(path, bytes - 40);
  assert.throws(() => file.read("a"), {
    name: "UserError",
    message: /truncated inside tensor a \(360 of 400 bytes\)/,
  });
});

void test("a failed write leaves the old file and nothing beside it", () => {
  const folder = mkdtempSync(join(work, "atomic-"));
  const path = join(folder, "model.safetensors");
  writeSafetensors(path, [counting("a", "U8", [4])]);
  const before = readFileSync(path);
  assert.throws(
    () => writeSafetensors(path, [{ name: "a", dtype: "F32", shape: [2], data: () => new Uint8Array(7) }]),
    { message: "tensor a: F32 [2] takes 8 bytes, 7 were given" },
  );
  assert.throws(() => writeSafetensors(path, [counting("a", "U8", [1]), counting("a", "U8", [1])]), {
    message: "tensor a is given twice",
  });
  assert.deepEqual(readFileSync(path), before);
  assert.deepEqual(readdirSync(folder), ["model.safetensors"]);
});

function sizes(limit: number, ...bytes: number[]): number[][] {
  const tensors = bytes.map((size) => ({ dtype: "U8" as const, shape: [size] }));
  return planShards(tensors, limit).map((shard) => shard.map((tensor) => tensor.shape[0]!));
}

void test("shards fill up in order, as huggingface_hub fills them", () => {
  assert.deepEqual(sizes(10, 4, 6, 5, 5, 1), [[4, 6], [5, 5], [1]]);
  assert.deepEqual(sizes(10, 4, 20, 6), [[20], [4, 6]]);
  assert.deepEqual(sizes(10, 4), [[4]]);
});

void test("a model of several shards is written with its index and read as one", () => {
  const folder = mkdtempSync(join(work, "shards-"));
  const tensors = ["c", "a", "b"].map((name) => counting(name, "F32", [5]));
  const files = writeModelWeights(folder, tensors, { maxShardBytes: 40 });
  assert.deepEqual(files, [
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
  ]);
  const index = JSON.parse(readFileSync(join(folder, "model.safetensors.index.json"), "utf8")) as unknown;
  assert.deepEqual(index, {
    metadata: { total_size: 60 },
    weight_map: { a: files[0], b: files[1], c: files[0] },
  });
  using weights = openModelWeights(folder);
  assert.deepEqual([...weights.names].sort(), ["a", "b", "c"]);
  assert.deepEqual(weights.read("b"), tensors[2]!.data());
  assert.ok(weights.fileOf("b").endsWith("model-00002-of-00002.safetensors"));
});

void test("a model folder's faults are named", () => {
  const folder = mkdtempSync(join(work, "faults-"));
  assert.throws(() => openModelWeights(folder), {
    name: "UserError",
    message: `${folder}: expected weights in model.safetensors or model.safetensors.index.json, found none.`,
  });
  assert.throws(() => openModelWeights(join(folder, "absent")), { message: /the folder does not exist/ });
  writeFileSync(join(folder, "m.gguf"), "");
  assert.throws(() => openModelWeights(folder), {
    message: /found only m\.gguf\. Convert it with: forge import/,
  });

  writeModelWeights(folder, [counting("a", "F32", [5]), counting("b", "F32", [5])], { maxShardBytes: 20 });
  const index = join(folder, "model.safetensors.index.json");
  const point = (map: Record<string, unknown>): void =>
    writeFileSync(index, JSON.stringify({ weight_map: map }));
  point({ a: "model-00002-of-00002.safetensors" });
  assert.throws(() => openModelWeights(folder), {
    message: /says that model-00002-of-00002\.safetensors holds a; it does not/,
  });
  point({ a: "../model-00001-of-00002.safetensors" });
  assert.throws(() => openModelWeights(folder), { message: /tensor a is said to lie outside the folder/ });
  point({ a: "model-00001-of-00009.safetensors" });
  assert.throws(() => openModelWeights(folder), {
    message: /names the shard model-00001-of-00009\.safetensors, which is not in the folder/,
  });
  point({ a: 1 });
  assert.throws(() => openModelWeights(folder), {
    message: /expected "weight_map" to map tensor names to file names/,
  });
  writeFileSync(index, "{");
  assert.throws(() => openModelWeights(folder), { message: /is not JSON/ });
});

void test("a full disk is said plainly", () => {
  // The file is written beside its final name, so a link of that name to the full device stands in for a full disk.
  const folder = mkdtempSync(join(work, "full-"));
  const path = join(folder, "model.safetensors");
  symlinkSync("/dev/full", `${path}.partial-${process.pid}`);
  assert.throws(() => writeSafetensors(path, [counting("a", "F32", [5])]), {
    name: "UserError",
    message: /model\.safetensors: no space left on the disk for \d+ bytes\. Free some and try again\./,
  });
  assert.deepEqual(readdirSync(folder), []);
});
