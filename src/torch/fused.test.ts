// The fused operators by themselves: gradients against differences, memory, determinism, errors. Values against PyTorch
// are in test/fused.
import assert from "node:assert/strict";
import test from "node:test";

import * as torch from "./index.ts";
import type { Tensor } from "./index.ts";

const { fused } = torch;
const timeout = 60_000;

/** Gradients against central differences in float64, for random weights of the outputs. */
function gradcheck<const Shapes extends readonly number[][]>(
  run: (...inputs: { [K in keyof Shapes]: Tensor }) => Tensor[],
  shapes: Shapes,
): void {
  const inputs = shapes.map((shape) => torch.randn(shape, { dtype: torch.float64 }).requiresGrad_()) as {
    [K in keyof Shapes]: Tensor;
  };
  const outputs = run(...inputs);
  const weights = outputs.map((out) => torch.randn(out.shape, { dtype: torch.float64 }));
  const grads = torch.grad(outputs, inputs, weights);
  using _ = torch.noGrad();
  const value = () => run(...inputs).reduce((sum, out, i) => sum + out.mul(weights[i]!).sum().item(), 0);
  const h = 1e-6;
  for (const [i, input] of inputs.entries()) {
    const flat = input.detach().view([-1]);
    const found = grads[i]!.reshape([-1]).tolist() as number[];
    for (let j = 0; j < flat.numel(); j++) {
      const element = flat.narrow(0, j, 1);
      element.add_(h);
      const above = value();
      element.sub_(2 * h);
      const below = value();
      element.add_(h);
      const expected = (above - below) / (2 * h);
      // the difference's own error is about 1e-16 of the value / 1e-6, and h^2
      assert.ok(
        Math.abs(found[j]! - expected) <= 1e-6 * Math.max(1, Math.abs(expected)),
        `input ${i}, element ${j}: gradient ${found[j]}, difference ${expected}`,
      );
    }
  }
}

test("gradients in float64 are those of differences", { timeout }, () => {
  using _ = torch.scope();
  torch.manualSeed(3);
  gradcheck((x, w) => [fused.rmsNorm(x, w, 1e-5)], [[2, 3, 7], [7]]);
  gradcheck((x) => [fused.rmsNorm(x)], [[3, 5]]);
  gradcheck((x, r, w) => fused.addRmsNorm(x, r, w), [[3, 5], [3, 5], [5]]);
  gradcheck((x, r, w) => [fused.addRmsNorm(x, r, w)[0]], [[3, 5], [3, 5], [5]]);
  gradcheck(
    (x, r) => [fused.addRmsNorm(x, r)[1]],
    [
      [3, 5],
      [3, 5],
    ],
  );
  gradcheck(
    (g, u) => [fused.swiglu(g, u)],
    [
      [3, 7],
      [3, 7],
    ],
  );
  gradcheck((x) => [fused.swigluJoined(x)], [[3, 10]]);
  const angles = torch.rand([6, 2], { dtype: torch.float64 });
  const ids = torch.fromArray([5, 0, 2], { dtype: torch.int64 });
  gradcheck(
    (q, k) => fused.rotaryEmbedding(q, k, angles.cos(), angles.sin(), ids),
    [
      [2, 3, 2, 5],
      [2, 3, 1, 5],
    ],
  );
  const query = torch.randn([2, 3, 2, 5], { dtype: torch.float64 });
  gradcheck((k) => [fused.rotaryEmbedding(query, k, angles.cos(), angles.sin())[1]], [[2, 3, 1, 5]]);
  const labels = torch.fromArray([1, -100, 3, 0], { dtype: torch.int64 });
  for (const chunkSize of [0, 6, 12])
    gradcheck(
      (h, w) => [fused.linearCrossEntropy(h, w, labels, { chunkSize, scale: 0.7 })[0]],
      [
        [4, 3],
        [6, 3],
      ],
    );
});

test("linearCrossEntropy: chunks of every size give the same loss and gradients", { timeout }, () => {
  using _ = torch.scope();
  torch.manualSeed(4);
  const hidden = torch.randn([2, 90, 11]).requiresGrad_();
  const weight = torch.randn([300, 11]).requiresGrad_();
  const labels = torch.randint(0, 300, [2, 90], { dtype: torch.int64 });
  labels.select(0, 1).narrow(0, 0, 60).fill_(-7);
  const plain = torch.crossEntropyLoss(
    hidden.view([180, 11]).mm(weight.t()),
    labels.view([180]),
    undefined,
    2,
    -7,
  );
  const expected = torch.grad(plain, [hidden, weight]);
  for (const chunkSize of [0, 1, 299, 300 * 64, 300 * 200]) {
    const [loss, count] = fused.linearCrossEntropy(hidden, weight, labels, { ignoreIndex: -7, chunkSize });
    assert.equal(count.item(), 120);
    assert.ok(
      Math.abs(loss.item() - plain.item()) < 1e-5 * plain.item(),
      `chunk ${chunkSize}: ${loss.item()}`,
    );
    for (const [i, grad] of torch.grad(loss, [hidden, weight]).entries()) {
      const off = grad.sub(expected[i]!).abs().max().item();
      assert.ok(off < 2e-5, `chunk ${chunkSize}: gradient ${i} off by ${off}`);
    }
  }
});

test("linearCrossEntropy: a kept graph gives the same gradients again, scaled as asked", { timeout }, () => {
  using _ = torch.scope();
  const hidden = torch.randn([5, 4]).requiresGrad_();
  const weight = torch.randn([7, 4]);
  const labels = torch.fromArray([0, 1, -100, 6, 2], { dtype: torch.int64 });
  const [loss] = fused.linearCrossEntropy(hidden, weight, labels);
  const by = (scale: number, retainGraph: boolean) =>
    torch.grad(loss, hidden, torch.full([], scale), { retainGraph })[0]!.tolist() as number[][];
  const once = by(1, true);
  assert.deepEqual(
    by(2, true),
    once.map((row) => row.map((value) => 2 * value)),
  );
  assert.deepEqual(by(1, true), once);
  assert.deepEqual(by(1, false), once);
  // no gradient asked for: none is computed, and nothing is recorded
  torch.noGrad(() => assert.equal(fused.linearCrossEntropy(hidden, weight, labels)[0].requiresGrad, false));
});

test("linearCrossEntropy: NaN in the hidden states is NaN in loss and gradients", { timeout }, () => {
  using _ = torch.scope();
  const values = torch.randn([3, 4]);
  values.select(0, 1).fill_(Number.NaN);
  const hidden = values.requiresGrad_();
  const labels = torch.fromArray([0, 1, 2], { dtype: torch.int64 });
  const [loss] = fused.linearCrossEntropy(hidden, torch.randn([40, 4]), labels);
  assert.ok(Number.isNaN(loss.item()));
  const rows = torch.grad(loss, hidden)[0]!.isnan().tolist() as boolean[][];
  assert.deepEqual(
    rows.map((row) => row.every(Boolean)),
    [false, true, false],
  );
});

test("linearCrossEntropy holds a tenth of the logits at most", { timeout }, () => {
  using _ = torch.scope();
  const [rows, vocabulary, width] = [256, 16_000, 32];
  const hidden = torch.randn([rows, width]).requiresGrad_();
  const weight = torch.randn([vocabulary, width]).requiresGrad_();
  const labels = torch.randint(0, vocabulary, [rows], { dtype: torch.int64 });
  const before = torch.memoryStats().currentBytes;
  torch.resetPeakMemory();
  const [loss] = fused.linearCrossEntropy(hidden, weight, labels);
  torch.grad(loss, [hidden, weight]);
  const outputs = 4 * width * (rows + vocabulary);
  const extra = torch.memoryStats().peakBytes - before - outputs;
  assert.ok(extra <= 0.1 * 4 * rows * vocabulary, `${extra} bytes beside the gradients`);
});

test("gradNorm is exact where float32 squares overflow, and passes NaN on", { timeout }, () => {
  using _ = torch.scope();
  const big = torch.full([3000], 1e25);
  assert.ok(Math.abs(fused.gradNorm([big]).item() / (1e25 * Math.sqrt(3000)) - 1) < 1e-6);
  assert.equal(fused.sumOfSquares([torch.full([5], 1e-25), torch.zeros([2000])]).item() > 0, true);
  assert.equal(fused.gradNorm([]).item(), 0);
  const bad = torch.ones([4]);
  bad.narrow(0, 2, 1).fill_(Number.NaN);
  assert.ok(Number.isNaN(fused.clipGradNorm([bad, big], 1).item()));
  const strided = torch.ones([4, 6]).t();
  assert.equal(
    fused.clipGradNorm([strided, torch.ones([2, 4]).narrow(1, 0, 2)], 1e9).item(),
    Math.fround(Math.sqrt(28)),
  );
});

test("adamw: bf16 parameters with float32 moments move as float32 ones do", { timeout }, () => {
  using _ = torch.scope();
  const exact = torch.randn([50]).to(torch.bfloat16).to(torch.float32);
  const rounded = exact.to(torch.bfloat16);
  const states = Array.from({ length: 4 }, () => torch.zeros([50]));
  const grad = torch.randn([50]).to(torch.bfloat16);
  fused.adamw([exact], [grad.to(torch.float32)], [states[0]!], [states[1]!], 1, { lr: 0.1 });
  fused.adamw([rounded], [grad], [states[2]!], [states[3]!], 1, { lr: 0.1 });
  assert.deepEqual(rounded.tolist(), exact.to(torch.bfloat16).tolist());
  assert.deepEqual(states[2]!.tolist(), states[0]!.tolist());
});

test("shapes and types that don't fit are errors that say what was expected", { timeout }, () => {
  using _ = torch.scope();
  const fails = (message: string, run: () => unknown) =>
    assert.throws(
      run,
      (error: unknown) => error instanceof torch.TorchError && error.message.includes(message),
    );
  fails("rms_norm: expected a weight of shape [4] for an input of shape [2, 4], found [3]", () =>
    fused.rmsNorm(torch.ones([2, 4]), torch.ones([3])),
  );
  fails("rms_norm: input is BFloat16 but weight is Float; convert one of them", () =>
    fused.rmsNorm(torch.ones([2, 4], { dtype: torch.bfloat16 }), torch.ones([4])),
  );
  fails("add_rms_norm: input and residual must agree in shape, dtype and device", () =>
    fused.addRmsNorm(torch.ones([2, 4]), torch.ones([3, 4])),
  );
  fails("swiglu: gate and up must agree in shape, dtype and device", () =>
    fused.swiglu(torch.ones([2, 4]), torch.ones([4])),
  );
  fails("swiglu_joined: expected a floating-point tensor with an even last dimension", () =>
    fused.swigluJoined(torch.ones([2, 3])),
  );
  const q = torch.ones([1, 2, 1, 4]);
  const table = torch.ones([8, 2]);
  fails("rotary_embedding: position id 8 at token 1 is outside the tables of 8 positions", () =>
    fused.rotaryEmbedding(q, q, table, table, torch.fromArray([7, 8], { dtype: torch.int64 })),
  );
  fails("rotary_embedding: tables of 3 angles rotate 2x as many dimensions, but the heads have only 4", () =>
    fused.rotaryEmbedding(q, q, torch.ones([8, 3]), torch.ones([8, 3])),
  );
  fails(
    "linear_cross_entropy: label 7 at position 1 is neither a token of the vocabulary of 7 nor the ignore_index -100",
    () =>
      fused.linearCrossEntropy(
        torch.ones([2, 3]),
        torch.ones([7, 3]),
        torch.fromArray([0, 7], { dtype: torch.int64 }),
      ),
  );
  fails("linear_cross_entropy: expected labels of shape [2], one for each hidden state, found [3]", () =>
    fused.linearCrossEntropy(
      torch.ones([2, 3]),
      torch.ones([7, 3]),
      torch.zeros([3], { dtype: torch.int64 }),
    ),
  );
  const one = [torch.ones([2])];
  fails("adamw_: steps count from 1, found 0", () => fused.adamw(one, one, one, one, 0, { lr: 1 }));
  fails("adamw_: parameter 0 has shape [2] on cpu, but its gradient or a moment has [3] on cpu", () =>
    fused.adamw(one, [torch.ones([3])], one, one, 1, { lr: 1 }),
  );
});
