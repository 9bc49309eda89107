// Our CUDA kernels on a device, against float64, and that it is they which ran. Run by `npm run test:cuda`.
import assert from "node:assert/strict";
import test from "node:test";

import { call, fused, randn, scope, useCudaKernels } from "../../src/torch/index.ts";
import "../kernels/checks.ts";

void test("kernels are launched, and not when they are switched off", () => {
  using _ = scope();
  const x = randn([3, 64], { device: "cuda" });
  const launched = (): number => {
    const before = call<number>("forge::cuda_launches");
    fused.rmsNorm(x);
    return call<number>("forge::cuda_launches") - before;
  };
  assert.equal(launched(), 1);
  useCudaKernels(false);
  assert.equal(launched(), 0);
  useCudaKernels(true);
});
