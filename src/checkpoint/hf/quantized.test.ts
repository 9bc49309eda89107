// Quantized matrices from files: quantized while they are loaded, or as bitsandbytes wrote them; whole and a rank's part; as rows
// of bytes and as numbers; and files that aren't what they say.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { fp8Rows, int8Rows, nf4, type QuantizedFormat } from "../../nn/index.ts";
import { openModelWeights, writeModelWeights, type TensorToWrite } from "../../safetensors/index.ts";
import {
  bfloat16,
  empty,
  equal,
  float32,
  fused,
  manualSeed,
  randn,
  scope,
  type Tensor,
} from "../../torch/index.ts";
import { loadWeights, type WeightSlice } from "./load.ts";
import { saveWeights } from "./save.ts";
import { saveQuantized } from "./save-quantized.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-quantized-files-"));
after(() => rmSync(work, { recursive: true, force: true }));
const folder = (): string => mkdtempSync(join(work, "model-"));
const name = "a.weight";
const [outputs, inputs] = [40, 640];

function matrix(): Tensor {
  manualSeed(5);
  return randn([outputs, inputs]).to(bfloat16);
}

function loaded(
  from: string,
  shape: readonly number[],
  format: QuantizedFormat,
  slice?: WeightSlice,
): Tensor {
  const into = empty(format.storedShape(shape), { dtype: format.dtype });
  const slices = slice === undefined ? undefined : new Map([[name, slice]]);
  loadWeights(from, new Map([[name, into]]), { formats: new Map([[name, format]]), slices });
  return into;
}

const parts: readonly WeightSlice[] = [
  { dim: 0, start: 11, length: 20 },
  { dim: 0, start: 0, length: outputs, columns: { start: 320, length: 320 } },
  { dim: 0, start: 30, length: 10, columns: { start: 64, length: 128 } },
  { dim: 0, start: outputs, length: 0 },
];

void test("a rank's part of a matrix is that of the whole, from plain files and from bitsandbytes'", () => {
  using _ = scope();
  const plain = folder();
  saveWeights(plain, new Map([[name, matrix()]]));
  for (const format of [nf4(false), nf4(true), int8Rows, fp8Rows]) {
    const sources = [plain];
    const written = [nf4(false), nf4(true)].find((one) => one.name === format.name);
    if (written !== undefined) {
      sources.push(folder());
      saveQuantized(sources[1]!, plain, { names: new Set([name]), format: written });
    }
    const whole = loaded(plain, [outputs, inputs], format);
    const numbers = fused.dequantize(whole, format.name, inputs, float32);
    for (const from of sources) {
      assert.ok(equal(loaded(from, [outputs, inputs], format), whole), format.name);
      for (const slice of parts) {
        const width = slice.columns?.length ?? inputs;
        const part = loaded(from, [slice.length, width], format, slice);
        if (slice.length === 0) continue;
        const own = numbers.narrow(0, slice.start, slice.length).narrow(1, slice.columns?.start ?? 0, width);
        assert.ok(equal(fused.dequantize(part, format.name, width, float32), own), `${format.name}, ${from}`);
      }
    }
    if (sources.length === 1) continue;
    const asNumbers = empty([outputs, inputs]);
    loadWeights(sources[1]!, new Map([[name, asNumbers]]));
    assert.ok(equal(asNumbers, numbers), `${format.name} as numbers`);
  }
});

void test("files that aren't what they say are named", () => {
  using _ = scope();
  const plain = folder();
  saveWeights(plain, new Map([[name, matrix()]]));
  const good = folder();
  saveQuantized(good, plain, { names: new Set([name]), format: nf4(true) });
  const load = (from: string, format: QuantizedFormat = nf4(true)) => loaded(from, [outputs, inputs], format);
  assert.throws(() => load(good, nf4(false)), /a\.weight: expected nf4, found nf4-nested/);

  const changed = (change: (tensors: TensorToWrite[]) => TensorToWrite[]): string => {
    const into = folder();
    using source = openModelWeights(good);
    const tensors = source.names.map((one): TensorToWrite => {
      const { dtype, shape } = source.info(one);
      return { name: one, dtype, shape, data: () => source.read(one) };
    });
    writeModelWeights(into, change(tensors));
    return into;
  };
  const withState = (state: string) =>
    changed((all) => {
      const text = new TextEncoder().encode(state);
      return all.map((one) =>
        one.name.includes("quant_state") ? { ...one, shape: [text.length], data: () => text } : one,
      );
    });
  const state = {
    quant_type: "nf4",
    blocksize: 64,
    shape: [outputs, inputs],
    nested_blocksize: 256,
    nested_offset: 1,
  };
  assert.throws(() => load(withState("{")), /quant_state.*: expected JSON/);
  assert.throws(
    () => load(withState(JSON.stringify({ ...state, blocksize: 128 }))),
    /expected nf4 in blocks of 64, found "nf4" in blocks of 128/,
  );
  assert.throws(
    () => load(withState(JSON.stringify({ ...state, shape: [outputs] }))),
    /expected a shape of two sizes, found \[40\]/,
  );
  assert.throws(
    () => load(withState(JSON.stringify({ ...state, shape: [outputs, 1280] }))),
    /expected 25600 bytes of a\.weight, found 12800/,
  );
  const without = changed((all) => all.filter((one) => one.name !== `${name}.nested_absmax`));
  assert.throws(() => load(without), /expected 8 bytes of a\.weight\.nested_absmax, found none/);
  const otherMap = changed((all) =>
    all.map((one) =>
      one.name === `${name}.quant_map`
        ? { ...one, data: () => new Uint8Array(new Float32Array(16).buffer) }
        : one,
    ),
  );
  assert.throws(() => load(otherMap), /a\.weight\.quant_map: expected the 16 numbers of nf4, found others/);
});
