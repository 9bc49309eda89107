// Against the gguf package's own dequantize on random blocks (test/gguf/make_fixtures.py): equal bit for bit.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { openSafetensors } from "../safetensors/index.ts";
import { dequantize } from "./dequantize.ts";
import { openGguf } from "./reader.ts";
import { ggmlTypes } from "./types.ts";

const fixtures = join(import.meta.dirname, "..", "..", "test", "gguf", "fixtures");

for (const { name } of ggmlTypes) {
  void test(`${name} decodes as the gguf package decodes it`, () => {
    using file = openGguf(join(fixtures, "quants.gguf"));
    using expected = openSafetensors(join(fixtures, "quants.safetensors"));
    const tensor = file.tensors.find((candidate) => candidate.name === name);
    assert.ok(tensor, `no tensor ${name} in the fixture`);
    assert.equal(tensor.type, name);
    const bytes = new Uint8Array(tensor.bytes);
    file.readInto(tensor, bytes, 0);
    const decoded = new Float32Array(tensor.elements);
    dequantize(name, bytes, decoded);
    const words = new Uint32Array(decoded.buffer);
    const wanted = expected.read(name);
    assert.deepEqual(expected.info(name).shape, tensor.shape);
    const wantedWords = new Uint32Array(wanted.buffer);
    const different = words.findIndex((word, i) => word !== wantedWords[i]);
    assert.equal(
      different,
      -1,
      `element ${different}: ${decoded[different]}, expected ${new Float32Array(wanted.buffer)[different]}`,
    );
  });
}

void test("bytes that don't make up the elements are refused", () => {
  assert.throws(() => dequantize("Q4_0", new Uint8Array(18), new Float32Array(64)), {
    name: "RangeError",
    message: "18 bytes of Q4_0 are not 64 elements",
  });
  assert.throws(() => dequantize("Q4_0", new Uint8Array(9), new Float32Array(16)), RangeError);
});
