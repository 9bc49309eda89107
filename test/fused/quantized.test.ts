// Quantized matrices: nf4 byte for byte as bitsandbytes has it, and numbers read from it bit for bit (the recordings of
// test/fixtures/quantized/make_quantized.py); int8 and fp8 within their rounding; rows, columns and devices alike.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import test from "node:test";

import { assertClose } from "../assert-close.ts";
import { openSafetensors } from "../../src/safetensors/index.ts";
import {
  bfloat16,
  equal,
  float32,
  float64,
  fromTypedArray,
  fused,
  grad,
  manualSeed,
  randn,
  scope,
  type Tensor,
} from "../../src/torch/index.ts";
import { fp8Rows, int8Rows, isQuantized, nf4, plain, type QuantizedFormat } from "../../src/nn/index.ts";

const file = openSafetensors(join(import.meta.dirname, "../fixtures/quantized/matrices.safetensors"));
const names = ["normal", "groups", "odd"];
const formats: readonly QuantizedFormat[] = [nf4(false), nf4(true), int8Rows, fp8Rows];

function matrix(name: string): Tensor {
  const { dtype, shape } = file.info(name);
  return fromTypedArray(file.read(name))
    .view(dtype === "BF16" ? bfloat16 : float32)
    .view(shape);
}

function bytes(tensor: Tensor): Buffer {
  const whole = tensor.contiguous();
  return Buffer.from(whole.readBytes(new Uint8Array(whole.numel() * whole.dtype.itemSize)));
}

const encoded = (format: QuantizedFormat, of: Tensor): Tensor => {
  const shape = of.shape as [number, number];
  return format.encode((start, count) => of.narrow(0, start, count), shape, { start: 0, length: shape[0] });
};

void test("nf4 is what bitsandbytes makes, byte for byte", () => {
  using _ = scope();
  for (const name of names) {
    const of = matrix(name);
    const shape = of.shape as [number, number];
    for (const format of [nf4(false), nf4(true)]) {
      const key = `${name}.${format.isNested ? "nested" : "plain"}`;
      const parts = format.partsOf((start, count) => of.narrow(0, start, count), shape, {
        start: 0,
        length: shape[0],
      });
      assert.deepEqual(bytes(parts.codes), Buffer.from(file.read(key)), `${key}: codes`);
      assert.deepEqual(
        bytes(parts.magnitudes),
        Buffer.from(file.read(`${key}.absmax`)),
        `${key}: magnitudes`,
      );
      if (parts.nested === undefined) continue;
      assert.deepEqual(
        Buffer.from(parts.nested.scales.buffer),
        Buffer.from(file.read(`${key}.nested_absmax`)),
        `${key}: scales`,
      );
      const state = JSON.parse(Buffer.from(file.read(`${key}.quant_state.bitsandbytes__nf4`)).toString()) as {
        nested_offset: number;
      };
      assert.equal(parts.nested.offset, state.nested_offset, `${key}: offset`);
      assert.deepEqual(
        bytes(fused.quantizationMap("nested")),
        Buffer.from(file.read(`${key}.nested_quant_map`)),
      );
      assert.deepEqual(bytes(fused.quantizationMap("nf4")), Buffer.from(file.read(`${key}.quant_map`)));
    }
  }
});

void test("numbers read from nf4 are those of bitsandbytes, bit for bit, on every device", () => {
  using _ = scope();
  for (const name of names)
    for (const format of [nf4(false), nf4(true)])
      for (const dtype of [float32, bfloat16]) {
        const key = `${name}.${format.isNested ? "nested" : "plain"}.${dtype.name}`;
        const of = matrix(name);
        const rows = encoded(format, of);
        for (const read of [fused.dequantize, fused.dequantizeComposed]) {
          const numbers = read(rows, format.name, of.size(1), dtype);
          assert.equal(createHash("sha256").update(bytes(numbers)).digest("hex"), file.metadata[key], key);
        }
      }
});

void test("int8 and fp8 are off by half a step of a row's scale", () => {
  using _ = scope();
  const of = matrix("groups").to(float32);
  const largest = of.abs().amax([1], true);
  for (const [format, step] of [
    [int8Rows, 1 / 254],
    [fp8Rows, 1 / 28],
  ] as const) {
    const rows = encoded(format, of);
    const found = fused.dequantize(rows, format.name, of.size(1), float32);
    assert.ok(found.sub(of).abs().div(largest).max().item() <= step * 1.0001, format.name);
    assert.ok(equal(found, fused.dequantizeComposed(rows, format.name, of.size(1), float32)), format.name);
  }
});

void test("a rank's rows and columns are those of the whole matrix", () => {
  using _ = scope();
  manualSeed(3);
  const of = randn([40, 1920]); // 30 blocks a row: groups begin anywhere in rows
  for (const format of formats) {
    const whole = encoded(format, of);
    assert.deepEqual(whole.shape, format.storedShape([40, 1920]), format.name);
    assert.equal(whole.numel(), format.bytes([40, 1920]));
    const rows = format.encode((start, count) => of.narrow(0, start, count), [40, 1920], {
      start: 13,
      length: 9,
    });
    assert.ok(equal(rows, whole.narrow(0, 13, 9)), `${format.name}: rows`);
    const numbers = fused.dequantize(whole, format.name, 1920, float32);
    for (const columns of [
      { start: 0, length: 640 },
      { start: 640, length: 1280 },
      { start: 1856, length: 64 },
    ]) {
      const cut = format.columnsOf(whole, 1920, columns);
      assert.deepEqual(cut.shape, format.storedShape([40, columns.length]));
      assert.ok(
        equal(
          fused.dequantize(cut, format.name, columns.length, float32),
          numbers.narrow(1, columns.start, columns.length),
        ),
        `${format.name}: columns from ${columns.start}`,
      );
    }
    const none = format.encode(() => assert.fail("read"), [0, 1920], { start: 0, length: 0 });
    assert.deepEqual(none.shape, format.storedShape([0, 1920]));
  }
  assert.ok(!isQuantized(plain(float32)) && isQuantized(int8Rows));
});

void test("products with quantized matrices are those with their numbers, forward and backward, in parts and whole", () => {
  using _ = scope();
  manualSeed(4);
  // The second is computed in several parts.
  for (const [outputs, inputs] of [
    [10, 128],
    [1500, 1280],
  ] as const)
    for (const format of formats)
      for (const dtype of [float64, float32, bfloat16]) {
        const of = randn([outputs, inputs]);
        const rows = encoded(format, of);
        const numbers = fused.dequantize(rows, format.name, inputs, dtype);
        const x = randn([70, inputs]).to(dtype).requiresGrad_();
        const found = fused.quantizedLinear(x, rows, format.name);
        const weights = randn([70, outputs]).to(dtype);
        const [gradient] = grad([found], [x], [weights]);
        // Sums of some hundred terms, in another order.
        const rtol = { float64: 1e-14, float32: 2e-6, bfloat16: 1.6e-2 }[dtype.name as "float32"];
        const what = `${format.name} [${outputs}, ${inputs}] in ${dtype.name}`;
        assertClose(found.detach(), x.detach().mm(numbers.t()), { rtol }, what);
        assertClose(gradient!, weights.mm(numbers), { rtol }, `${what}: gradient`);
      }
});
