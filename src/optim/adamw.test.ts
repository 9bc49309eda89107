import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import * as torch from "../torch/index.ts";
import type { Implementation } from "./adam-update.ts";
import {
  clipCoefficient,
  clipGradNorm,
  gradNorm,
  makeOptimizer,
  optimizerStateBytes,
  stateName,
} from "./index.ts";
import type { Optimizer } from "./index.ts";
import { assertClose } from "../../test/assert-close.ts";

const shapes = [[5, 7], [7], [2, 3, 4]];
const names = ["a", "b", "c"];
const implementations: Implementation[] = ["fused", "foreach", "for-loop"];

/** test/fixtures/make_optim.py says what lies in the file. */
function fixture(): () => torch.Tensor[] {
  const bytes = readFileSync(new URL("../../test/fixtures/optim/optim.bin", import.meta.url));
  const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  let at = 0;
  return () =>
    shapes.map((shape) => {
      const count = shape.reduce((a, b) => a * b, 1);
      at += count;
      return torch.fromTypedArray(values.slice(at - count, at), shape);
    });
}

/** The state by the names that checkpoints give it. */
const byName = (optimizer: Optimizer): Map<string, torch.Tensor> =>
  new Map(optimizer.state().map((one) => [stateName(one), one.tensor]));

for (const implementation of implementations) {
  // Moments are sums of 20 rounded terms, and the fused kernel rounds once where PyTorch rounds twice (multiply and add):
  // they may differ by a few units in the last place (1.2e-7), the parameters by less.
  void test(`${implementation}: 20 steps equal torch.optim's within 1e-7`, () => {
    using _ = torch.scope();
    const next = fixture();
    const initial = next();
    const gradients = Array.from({ length: 20 }, next);
    for (const [name, weightDecay] of [
      ["AdamW", 0.1],
      ["AdamW", 0],
      ["Adam", 0.1],
    ] as const) {
      const params = initial.map((p) => p.clone().requiresGrad_());
      const entries = params.map((p, i) => [names[i]!, p] as const);
      const optimizer = makeOptimizer({ name, weightDecay, implementation }, entries);
      for (const [step, list] of gradients.entries()) {
        for (const [i, param] of params.entries()) param.grad = list[i]!.clone();
        optimizer.step((0.01 * (step + 1)) / 20);
        optimizer.zeroGrad();
        assert.equal(params[0]!.grad, undefined);
      }
      const state = byName(optimizer);
      const what = `${name} ${weightDecay}`;
      for (const [i, want] of next().entries()) assertClose(params[i]!.detach(), want, { rtol: 1e-7 }, what);
      for (const [i, want] of next().entries())
        assertClose(state.get(`${names[i]}.exp_avg`)!, want, { rtol: 3e-7 }, `${what} exp_avg`);
      for (const [i, want] of next().entries())
        assertClose(state.get(`${names[i]}.exp_avg_sq`)!, want, { rtol: 3e-7 }, `${what} exp_avg_sq`);
      assert.equal(state.get("a.step")!.item(), 20);
    }
  });

  void test(`${implementation}: bfloat16 parameters have float32 moments and are rounded once a step`, () => {
    using _ = torch.scope();
    for (const name of ["AdamW", "Adam"] as const) {
      const options = { name, implementation, lr: 0.05, weightDecay: 0.2 };
      const narrow = torch.linspace(-2, 2, 33).to(torch.bfloat16);
      const wide = narrow.to(torch.float32);
      const gradient = torch.linspace(1, -3, 33).to(torch.bfloat16);
      const optimizer = makeOptimizer(options, [["p", narrow]]);
      optimizer.step(undefined, { gradients: new Map([["p", gradient]]) });
      makeOptimizer(options, [["p", wide]]).step(undefined, {
        gradients: new Map([["p", gradient.float()]]),
      });
      assert.equal(narrow.dtype, torch.bfloat16);
      assert.equal(byName(optimizer).get("p.exp_avg")!.dtype, torch.float32);
      assert.deepEqual(narrow.tolist(), wide.to(torch.bfloat16).tolist());
    }
  });

  void test(`${implementation}: gradScale equals scaled gradients`, () => {
    using _ = torch.scope();
    const run = (gradient: torch.Tensor, gradScale: number): unknown => {
      const param = torch.linspace(-2, 2, 9);
      makeOptimizer({ implementation, lr: 0.05 }, [["p", param]]).step(undefined, {
        gradients: new Map([["p", gradient]]),
        gradScale,
      });
      return param.tolist();
    };
    const gradient = torch.linspace(1, -3, 9);
    // A power of two, so that the order of multiplications can't show.
    assert.deepEqual(run(gradient, 0.25), run(gradient.mul(0.25), 1));
    assert.equal(gradient.index([0]).item(), 1);
  });
}

void test("a parameter without a gradient stays, and counts its own steps", () => {
  using _ = torch.scope();
  const [a, b] = [torch.ones([2]), torch.ones([2])];
  const both = new Map([
    ["a", torch.ones([2])],
    ["b", torch.ones([2])],
  ]);
  const optimizer = makeOptimizer({}, [
    ["a", a],
    ["b", b],
  ]);
  optimizer.step(0.1, { gradients: both });
  both.delete("b");
  const before = b.tolist();
  optimizer.step(0.1, { gradients: both });
  assert.deepEqual(b.tolist(), before);
  assert.equal(byName(optimizer).get("a.step")!.item(), 2);
  assert.equal(byName(optimizer).get("b.step")!.item(), 1);
});

void test("weight decay is per parameter", () => {
  using _ = torch.scope();
  const params = [
    ["w", torch.ones([2])],
    ["norm", torch.ones([2])],
  ] as const;
  const optimizer = makeOptimizer({ weightDecay: 0.5, decays: (name) => name !== "norm" }, params);
  const zero = torch.zeros([2]);
  optimizer.step(0.1, {
    gradients: new Map([
      ["w", zero],
      ["norm", zero],
    ]),
  });
  assert.deepEqual(params[0][1].tolist(), [Math.fround(0.95), Math.fround(0.95)]);
  assert.deepEqual(params[1][1].tolist(), [1, 1]);
});

void test("a state that is loaded goes on bit for bit, and a wrong one changes nothing", () => {
  using _ = torch.scope();
  const next = fixture();
  const initial = next();
  const gradients = Array.from({ length: 6 }, next);
  const stepAll = (optimizer: Optimizer, from: number, to: number): void => {
    for (const list of gradients.slice(from, to))
      optimizer.step(0.01, { gradients: new Map(list.map((g, i) => [names[i]!, g])) });
  };
  const make = (params: torch.Tensor[]): Optimizer =>
    makeOptimizer(
      {},
      params.map((p, i) => [names[i]!, p] as const),
    );

  const straight = initial.map((p) => p.clone());
  const reference = make(straight);
  stepAll(reference, 0, 6);

  const first = initial.map((p) => p.clone());
  const before = make(first);
  stepAll(before, 0, 3);
  const saved = before.state().map((one) => ({ ...one, tensor: one.tensor.clone() }));
  const resumed = first.map((p) => p.clone());
  const after = make(resumed);
  after.loadState(saved);
  stepAll(after, 3, 6);
  for (const [i, param] of resumed.entries()) assert.ok(param.equal(straight[i]!));
  for (const [name, value] of byName(after)) assert.ok(value.equal(byName(reference).get(name)!), name);

  const wrong = (state: typeof saved, message: RegExp): void => {
    assert.throws(() => after.loadState(state), message);
    assert.equal(byName(after).get("a.step")!.item(), 6);
  };
  wrong(
    saved.filter((one) => stateName(one) !== "b.exp_avg"),
    /b\.exp_avg is missing/,
  );
  wrong(
    [...saved, { parameter: "d", part: "step", tensor: torch.ones([1]), isElementwise: false }],
    /d\.step belongs to no parameter/,
  );
  wrong(
    saved.map((one) => (stateName(one) === "a.exp_avg" ? { ...one, tensor: torch.ones([7, 5]) } : one)),
    /a\.exp_avg: expected torch\.float32 \[5, 7\], found torch\.float32 \[7, 5\]/,
  );
});

void test("moments begin as zeros, whatever their memory held, with and without a look at the state before", () => {
  using _ = torch.scope();
  const shape = [300_000]; // so large that memory is used again as it is
  const stepped = [true, false].map((isLookedAt) => {
    for (const garbage of [0, 1, 2].map(() => torch.full(shape, Number.NaN))) garbage.dispose();
    const param = torch.ones(shape);
    const optimizer = makeOptimizer({}, [["p", param]]);
    if (isLookedAt) {
      const state = byName(optimizer);
      for (const part of ["exp_avg", "exp_avg_sq"])
        assert.equal(state.get(`p.${part}`)!.countNonzero().item(), 0);
    }
    optimizer.step(0.1, { gradients: new Map([["p", torch.ones(shape)]]) });
    return param;
  });
  assert.ok(stepped[0]!.isfinite().all().item());
  assert.ok(stepped[0]!.equal(stepped[1]!));
});

void test("steps leave no tensors behind", () => {
  using _ = torch.scope();
  for (const implementation of implementations) {
    const param = torch.ones([4]);
    const optimizer = makeOptimizer({ implementation }, [["p", param]]);
    const gradients = new Map([["p", torch.ones([4])]]);
    optimizer.step(0.1, { gradients });
    const before = torch.memoryStats().liveTensors;
    for (let i = 0; i < 3; i++) optimizer.step(0.1, { gradients, gradScale: 0.5 });
    optimizer.loadState(optimizer.state());
    assert.equal(byName(optimizer).get("p.step")!.item(), 4);
    assert.equal(torch.memoryStats().liveTensors, before);
  }
});

void test("clipping returns the norm before, scales to the limit, and shows NaN and Infinity", () => {
  using _ = torch.scope();
  const param = (...values: number[]): torch.Tensor => {
    const made = torch.zeros([values.length]).requiresGrad_();
    made.grad = torch.fromArray(values);
    return made;
  };
  const params = [param(3), param(0, 4), torch.zeros([1]).requiresGrad_()];
  assert.equal(clipGradNorm(params, 10), 5);
  assert.deepEqual(params[1]!.grad!.tolist(), [0, 4]);
  assert.equal(clipGradNorm(params, 1), 5);
  assert.ok(Math.abs(gradNorm([params[0]!.grad!, params[1]!.grad!]) - 1) < 1e-6);
  assert.equal(clipGradNorm([torch.zeros([1])], 1), 0);
  assert.ok(Number.isNaN(clipGradNorm([param(NaN, 1)], 1)));
  assert.equal(clipGradNorm([param(Infinity, 1)], 1), Infinity);
  assert.ok(Math.abs(clipCoefficient(5, 1) - 0.2) < 1e-6);
  assert.equal(clipCoefficient(0.5, 1), 1);
  assert.throws(() => clipGradNorm(params, 0), /maxNorm: expected a number above 0, found 0/);
});

void test("a forecast's bytes are those of the state, but for the count of steps", () => {
  using _ = torch.scope();
  for (const dtype of [torch.float32, torch.bfloat16, torch.float64]) {
    const param = torch.zeros([3, 5], { dtype });
    const state = makeOptimizer({}, [["p", param]]).state();
    const bytes = state.filter((one) => one.isElementwise).reduce((sum, one) => sum + one.tensor.nbytes, 0);
    assert.equal(optimizerStateBytes({}, param), bytes);
  }
});
