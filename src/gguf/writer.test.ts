import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { openGguf } from "./reader.ts";
import { writeGguf, type GgufEntry } from "./writer.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-gguf-writer-"));
after(() => rmSync(work, { recursive: true }));

test("what is written is what is read", () => {
  const path = join(work, "new/all.gguf");
  const metadata = new Map<string, GgufEntry>([
    ["a.count", { type: "uint32", value: 4_000_000_000 }],
    ["a.scale", { type: "float32", value: 0.25 }],
    ["a.flag", { type: "bool", value: true }],
    ["a.text", { type: "text", value: "žluťoučký 🐎" }],
    ["a.texts", { type: "texts", value: ["", "x", "žx"] }],
    ["a.ints", { type: "int32s", value: [-1, 7] }],
    ["a.floats", { type: "float32s", value: [0.5, -2] }],
  ]);
  const odd = Uint8Array.from({ length: 3 * 4 }, (_, i) => i);
  const blocks = Uint8Array.from({ length: 2 * 34 }, (_, i) => 200 - i);
  const bytes = writeGguf(path, metadata, [
    { name: "odd", shape: [3], type: "F32", data: () => [odd.subarray(0, 5), odd.subarray(5)] },
    { name: "blocks", shape: [2, 32], type: "Q8_0", data: () => [blocks] },
  ]);
  using file = openGguf(path);
  assert.equal(file.version, 3);
  for (const [key, { value }] of metadata) assert.deepEqual(file.metadata.get(key), value);
  assert.deepEqual(
    file.tensors.map(({ name, shape, type }) => ({ name, shape, type })),
    [
      { name: "odd", shape: [3], type: "F32" },
      { name: "blocks", shape: [2, 32], type: "Q8_0" },
    ],
  );
  for (const [i, expected] of [odd, blocks].entries()) {
    const found = new Uint8Array(expected.length);
    file.readInto(file.tensors[i]!, found, 0);
    assert.deepEqual(found, expected);
    assert.equal(file.tensors[i]!.offset % 32, 0);
  }
  assert.equal(bytes % 32, 0);
});

test("a tensor that fails leaves no file, a folder that can't be made is told", () => {
  const data = (): Uint8Array[] => [new Uint8Array(4)];
  assert.throws(
    () => writeGguf(join(work, "short.gguf"), new Map(), [{ name: "t", shape: [3], type: "F32", data }]),
    /t: expected 12 bytes, found 4/,
  );
  assert.deepEqual(
    readdirSync(work).filter((name) => name.includes("short")),
    [],
  );
  assert.throws(() => writeGguf("/proc/none/x.gguf", new Map(), []), {
    name: "UserError",
    message: /^\/proc\/none\/x\.gguf: can't be written: /,
  });
});
