// The kernel against libtorch's own attention, in float64, where sums in another order differ by about 1e-15 relative.
import assert from "node:assert/strict";
import test from "node:test";

import { allclose, float64, grad, fused, manualSeed, randn, scope, type Tensor } from "../torch/index.ts";
import { composedAttention, documentAttention, type AttentionOptions } from "./document-attention.ts";

function outputAndGradients(
  attention: typeof documentAttention,
  inputs: readonly [Tensor, Tensor, Tensor],
  weight: Tensor,
  options: AttentionOptions,
): Tensor[] {
  const out = attention(...inputs, options);
  return [out, ...grad(out, inputs, weight)];
}

test("the kernel is there", () => {
  assert.ok(fused.hasDocAttention());
});

for (const [lengths, heads, kvHeads, window] of [
  [[1], 1, 1, undefined],
  [[5, 1, 17], 4, 2, undefined],
  [[128, 129, 300, 3], 6, 2, undefined],
  [[40, 200], 3, 3, 7],
  [[40, 300], 4, 1, 130],
  [[9, 20], 4, 2, 64],
] as const) {
  test(`documents of ${lengths.join(", ")} tokens, ${heads} heads on ${kvHeads}, window ${window}`, () => {
    using _ = scope();
    manualSeed(lengths.length);
    const tokens = lengths.reduce((sum: number, one: number) => sum + one, 0);
    const make = (n: number) => randn([tokens, n, 16], { dtype: float64 }).requiresGrad_();
    const inputs = [make(heads), make(kvHeads), make(kvHeads)] as const;
    const weight = randn([tokens, heads * 16], { dtype: float64 });
    const expected = outputAndGradients(composedAttention, inputs, weight, { lengths, window });
    const actual = outputAndGradients(documentAttention, inputs, weight, { lengths, window });
    for (const [i, name] of ["output", "gradient of q", "gradient of k", "gradient of v"].entries()) {
      assert.ok(allclose(actual[i]!, expected[i]!, 1e-10, 1e-11), `${name} of ${lengths.join(", ")}`);
    }
  });
}

test("queries, keys and values may be parts of one tensor", () => {
  using _ = scope();
  const joined = randn([30, 8, 16], { dtype: float64 });
  const [q, k, v] = [joined.narrow(1, 0, 4), joined.narrow(1, 4, 2), joined.narrow(1, 6, 2)];
  const options = { lengths: [10, 20] };
  assert.ok(allclose(documentAttention(q, k, v, options), composedAttention(q, k, v, options), 1e-10, 1e-11));
});
