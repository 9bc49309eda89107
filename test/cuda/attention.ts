// Attention of packed documents on a CUDA device, where bfloat16 goes to libtorch's FlashAttention or cuDNN's, against the composed one
// in float32 on the CPU. Run by `npm run test:cuda`.
import assert from "node:assert/strict";
import test from "node:test";

import { composedAttention, documentAttention } from "../../src/nn/index.ts";
import {
  bfloat16,
  call,
  float16,
  float32,
  grad,
  manualSeed,
  randn,
  scope,
  type Dtype,
  type Tensor,
} from "../../src/torch/index.ts";
import { readMeasured } from "../../src/util/index.ts";

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
      const run = (
        attention: typeof documentAttention,
        to: { device: string; dtype: Dtype },
        kernel?: "flash" | "cudnn",
      ) => {
        const [q, k, v] = made.map((one) => one.to(to.device).to(to.dtype).requiresGrad_());
        const out = attention(q!, k!, v!, { lengths, window, kernel });
        return [out, ...grad(out, [q!, k!, v!], weight.to(to.device).to(to.dtype))];
      };
      const expected = run(composedAttention, { device: "cpu", dtype: float32 });
      // cuDNN's has no windows, and needs Hopper for what this tests of it.
      const isHopper = call<number>("forge::cuda_architecture", 0) >= 90;
      const hasCudnn = isHopper && dtype !== float32 && window === undefined && headDim <= 128;
      for (const kernel of hasCudnn ? (["flash", "cudnn"] as const) : (["flash"] as const)) {
        const found = run(documentAttention, { device: "cuda", dtype }, kernel);
        for (const [i, name] of ["output", "gradient of q", "gradient of k", "gradient of v"].entries()) {
          const most = expected[i]!.abs().max().item();
          const difference = found[i]!.detach().cpu().float().sub(expected[i]!.detach()).abs().max().item();
          const what = `${kernel}, ${name}: off by ${difference} of ${most}`;
          assert.ok(difference <= tolerance * Math.max(most, 0.1), what);
        }
      }
    });
  }
}

void test("which kernel is the faster one is measured once, noted, and taken from there", () => {
  using _ = scope();
  const [q, k, v] = [4, 2, 2].map((n) => randn([1300, n, 64], { device: "cuda", dtype: bfloat16 }));
  const run = (): Tensor => documentAttention(q!, k!, v!, { lengths: [1000, 300] });
  const first = run();
  const isNoted = Object.keys(readMeasured("attention")).some((key) => key.includes("4 heads on 2 of 64"));
  assert.equal(isNoted, call<number>("forge::cuda_architecture", 0) >= 90);
  assert.ok(run().equal(first));
});
