// Attention of packed documents on a CUDA device, where bfloat16 goes to libtorch's FlashAttention, against the composed one
// in float32 on the CPU. Run by `npm run test:cuda`.
import assert from "node:assert/strict";
import test from "node:test";

import { composedAttention, documentAttention } from "../../src/nn/index.ts";
import {
  bfloat16,
  float16,
  float32,
  grad,
  manualSeed,
  randn,
  scope,
  type Dtype,
} from "../../src/torch/index.ts";

// Inputs are rounded to the type on both sides; probabilities and outputs are rounded to it on the device alone, twice.
const tolerances: readonly (readonly [Dtype, number])[] = [
  [bfloat16, 2 ** -6],
  [float16, 2 ** -9],
  [float32, 1e-5],
];

for (const [dtype, tolerance] of tolerances) {
  for (const [lengths, heads, kvHeads, headDim, window] of [
    [[1], 1, 1, 64, undefined],
    [[5, 1, 17], 4, 2, 64, undefined],
    [[128, 129, 300, 3], 9, 3, 64, undefined],
    [[40, 200], 3, 3, 128, 7],
    [[40, 300], 4, 1, 80, 130],
  ] as const) {
    void test(`${dtype.name}: documents of ${lengths.join(", ")} tokens, ${heads} heads on ${kvHeads} of ${headDim}, window ${window}`, () => {
      using _ = scope();
      manualSeed(lengths.length);
      const tokens = lengths.reduce((sum: number, one: number) => sum + one, 0);
      const made = [heads, kvHeads, kvHeads].map((n) => randn([tokens, n, headDim]).to(dtype));
      const weight = randn([tokens, heads * headDim]).to(dtype);
      const run = (attention: typeof documentAttention, to: { device: string; dtype: Dtype }) => {
        const [q, k, v] = made.map((one) => one.to(to.device).to(to.dtype).requiresGrad_());
        const out = attention(q!, k!, v!, { lengths, window });
        return [out, ...grad(out, [q!, k!, v!], weight.to(to.device).to(to.dtype))];
      };
      const expected = run(composedAttention, { device: "cpu", dtype: float32 });
      const found = run(documentAttention, { device: "cuda", dtype });
      for (const [i, name] of ["output", "gradient of q", "gradient of k", "gradient of v"].entries()) {
        const most = expected[i]!.abs().max().item();
        const difference = found[i]!.detach().cpu().float().sub(expected[i]!.detach()).abs().max().item();
        assert.ok(difference <= tolerance * Math.max(most, 0.1), `${name}: off by ${difference} of ${most}`);
      }
    });
  }
}
