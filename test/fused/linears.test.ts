// The fused linear layers (linear, norm_linear, swiglu_linear, add_linear) against the same thing in libtorch's own operators,
// forward and backward: no rows, few rows and many (from 64 on another library may multiply, see
// native/fused/products.cc), strided inputs, three dtypes.
import assert from "node:assert/strict";
import test from "node:test";

import * as torch from "../../src/torch/index.ts";
import { fused, grad, type Dtype, type Tensor } from "../../src/torch/index.ts";
import { assertClose } from "../assert-close.ts";

// How an operator is shared out among threads is tested, too; the tests of processes have one each.
torch.setNumThreads(2);

const eps = 1e-5;

/** Tolerances relative to the largest value: roundings of sums over at most 300 terms in another order; bfloat16: 2^-7. */
const tolerances: readonly (readonly [Dtype, number])[] = [
  [torch.float32, 5e-6],
  [torch.float64, 1e-13],
  [torch.bfloat16, 2 ** -6],
];

/** Outputs and the gradients of a weighted sum of them. */
function results(run: (...inputs: Tensor[]) => Tensor[], inputs: readonly Tensor[], dtype: Dtype): Tensor[] {
  const leaves = inputs.map((one) => one.to(dtype).detach().requiresGrad_());
  // Strided: a part of wider rows, as a slice of a joined projection is.
  const strided = leaves.map((one, i) =>
    i === 0 ? torch.cat([one, one], 1).narrow(1, 0, one.size(1)) : one,
  );
  const outputs = run(...strided);
  torch.manualSeed(3);
  const weights = outputs.map((one) => torch.randn(one.shape, { dtype: torch.float64 }).to(dtype));
  return [...outputs, ...grad(outputs, leaves, weights).map((one) => one)];
}

const plainNorm = (x: Tensor, weight: Tensor): Tensor =>
  x.mul(x.square().mean([-1], { keepdim: true }).add(eps).rsqrt()).mul(weight);

const operators: Record<
  string,
  {
    shapes: (rows: number) => number[][];
    ours: (...x: Tensor[]) => Tensor[];
    plain: (...x: Tensor[]) => Tensor[];
  }
> = {
  linear: {
    shapes: (rows) => [[rows, 70], [33, 70], [33]],
    ours: (x, w, bias) => [fused.linear(x, w, bias)],
    plain: (x, w, bias) => [x.matmul(w.t()).add(bias)],
  },
  "linear without a bias": {
    shapes: (rows) => [
      [rows, 70],
      [33, 70],
    ],
    ours: (x, w) => [fused.linear(x, w)],
    plain: (x, w) => [x.matmul(w.t())],
  },
  add_linear: {
    shapes: (rows) => [
      [rows, 33],
      [rows, 70],
      [33, 70],
    ],
    ours: (base, x, w) => [fused.addLinear(base, x, w)],
    plain: (base, x, w) => [base.add(x.matmul(w.t()))],
  },
  norm_linear: {
    shapes: (rows) => [[rows, 48], [48], [96, 48], [17, 48], [17, 48], [96], [17], [17]],
    ours: (x, norm, ...rest) => fused.normLinear(x, norm, rest.slice(0, 3), rest.slice(3), eps),
    plain: (x, norm, ...rest) => {
      const normed = plainNorm(x, norm);
      return rest.slice(0, 3).map((w, i) => normed.matmul(w.t()).add(rest[3 + i]!));
    },
  },
  "norm_linear without biases": {
    shapes: (rows) => [[rows, 48], [48], [96, 48], [17, 48]],
    ours: (x, norm, ...rest) => fused.normLinear(x, norm, rest, [], eps),
    plain: (x, norm, ...rest) => rest.map((w) => plainNorm(x, norm).matmul(w.t())),
  },
  swiglu_linear: {
    shapes: (rows) => [
      [rows, 90],
      [rows, 90],
      [32, 90],
      [rows, 32],
    ],
    ours: (gate, up, w, residual) => [fused.swigluLinear(gate, up, w, residual)],
    plain: (gate, up, w, residual) => [residual.add(torch.silu(gate).mul(up).matmul(w.t()))],
  },
};

for (const [name, { shapes, ours, plain }] of Object.entries(operators)) {
  for (const [dtype, tolerance] of tolerances) {
    for (const rows of [0, 1, 63, 64, 300]) {
      void test(`${name}, ${dtype}, ${rows} rows`, () => {
        using _ = torch.scope();
        torch.manualSeed(rows);
        // Values that bfloat16 holds, so that all dtypes compute the same thing; the reference in float64.
        const inputs = shapes(rows).map((shape) =>
          torch.randn(shape).mul(0.5).to(torch.bfloat16).to(torch.float64),
        );
        const found = results(ours, inputs, dtype);
        const expected = results(plain, inputs, torch.float64);
        for (const [i, one] of found.entries()) {
          assert.equal(one.dtype, dtype);
          assertClose(one, expected[i]!, { rtol: tolerance, floor: 1e-3 }, `result ${i}`);
        }
      });
    }
  }
}

void test("a weight's gradient by itself is what backward gives", () => {
  using _ = torch.scope();
  torch.manualSeed(1);
  const [x, grad] = [torch.randn([130, 70]), torch.randn([130, 65])];
  const weight = torch.randn([65, 70]).requiresGrad_();
  const expected = torch.grad(fused.linear(x, weight), [weight], [grad])[0]!;
  assert.ok(fused.linearWeightGradient(grad, x).equal(expected));
});

void test("shapes that don't fit are named", () => {
  using _ = torch.scope();
  const of = (...shape: number[]) => torch.zeros(shape);
  const refused = (what: RegExp, run: () => unknown) =>
    assert.throws(run, { name: "TorchError", message: what });
  refused(/linear: expected a weight of shape \[O, 4\], found \[3, 5\]/, () =>
    fused.linear(of(2, 4), of(3, 5)),
  );
  refused(/linear: expected a bias of shape \[3\], found \[4\]/, () =>
    fused.linear(of(2, 4), of(3, 4), of(4)),
  );
  refused(
    /linear_weight_gradient: expected a gradient \[T, O\] and x \[T, I\], found \[2, 4\] and \[3, 5\]/,
    () => fused.linearWeightGradient(of(2, 4), of(3, 5)),
  );
  refused(/add_linear: expected a weight of shape \[D, 4\], found \[3, 5\]/, () =>
    fused.addLinear(of(2, 3), of(2, 4), of(3, 5)),
  );
  refused(/add_linear: expected a base of shape \[2, 3\], found \[2, 4\]/, () =>
    fused.addLinear(of(2, 4), of(2, 4), of(3, 4)),
  );
  refused(/norm_linear: expected weights of shape \[O, 4\], found \[3, 5\]/, () =>
    fused.normLinear(of(2, 4), of(4), [of(3, 5)], [], eps),
  );
  refused(/swiglu_linear: expected gate and up of one shape/, () =>
    fused.swigluLinear(of(2, 4), of(2, 5), of(3, 4), of(2, 3)),
  );
});
