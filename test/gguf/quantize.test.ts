// Quantized blocks against llama.cpp's own, byte for byte (make_quantized.py).
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { openSafetensors } from "../../src/safetensors/index.ts";
import { float64, fromTypedArray, ggml, randn, scope } from "../../src/torch/index.ts";

using stored = openSafetensors(join(import.meta.dirname, "fixtures/quantized.safetensors"));
const shape = [...stored.info("x").shape];
const x = fromTypedArray(new Float32Array(stored.read("x").buffer), shape);
const expected = new Map(
  stored.names.filter((name) => name !== "x").map((name) => [name, stored.read(name)]),
);

for (const [name, bytes] of expected)
  test(`${name} equals llama.cpp's to the byte`, () => {
    using _ = scope();
    assert.ok(ggml.isQuantizedType(name));
    assert.deepEqual(ggml.quantize(x, name).toTypedArray(), bytes);
  });

test("every type of the operator has a stored answer", () => {
  assert.deepEqual([...expected.keys()].sort(), ["Q4_0", "Q4_K", "Q5_0", "Q5_1", "Q5_K", "Q6_K", "Q8_0"]);
});

test("rows that a block doesn't divide, and tensors that aren't float32, are refused", () => {
  using _ = scope();
  assert.throws(
    () => ggml.quantize(randn([2, 100]), "Q4_K"),
    /expected rows of a multiple of 256 elements, found 100/,
  );
  assert.throws(
    () => ggml.quantize(randn([2, 256]).to(float64), "Q4_K"),
    /expected a contiguous float32 tensor/,
  );
});
