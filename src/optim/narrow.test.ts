// Moments of fewer bits and stochastic rounding: each step against float64, what codes lose, that rounding is right in the mean and
// the same again, and that runs go on bit for bit.
import assert from "node:assert/strict";
import test from "node:test";

import * as torch from "../torch/index.ts";
import { makeOptimizer, optimizerStateBytes, stateName } from "./index.ts";
import type { Optimizer, OptimizerOptions } from "./index.ts";

const numbers = { lr: 1e-2, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };

const partOf = (optimizer: Optimizer, part: string): torch.Tensor =>
  optimizer.state().find((one) => stateName(one) === `p.${part}`)!.tensor;

/** The values that codes stand for, largest 1: seven decades, each with twice the steps of the one below. */
function codeValues(isSigned: boolean): number[] {
  const values = [0];
  for (let decade = 0; decade < 7; decade++) {
    const steps = 2 ** (isSigned ? decade : decade + 1);
    for (let i = 0; i < steps; i++) values.push(10 ** (decade - 6) * (0.1 + (0.9 * (i + 0.5)) / steps));
  }
  return values.map((one) => one / values.at(-1)!);
}

/** Moments as numbers, and each one's scale. The blocks of a row differ by one element at most. */
function momentsOf(
  optimizer: Optimizer,
  part: "exp_avg" | "exp_avg_sq",
): { values: number[][]; scales: number[][] } {
  const known = codeValues(part === "exp_avg");
  const codes = partOf(optimizer, part).tolist() as number[][];
  const ofBlocks = partOf(optimizer, `${part}_scale`).tolist() as number[][];
  const scales = codes.map((row, r) => {
    const blocks = ofBlocks[r]!.length;
    const start = (block: number) => Math.floor((block * row.length) / blocks);
    return row.map(
      (_, i) =>
        ofBlocks[r]![Array.from({ length: blocks }, (__, b) => start(b)).findLastIndex((at) => at <= i)]!,
    );
  });
  const values = codes.map((row, r) =>
    row.map((code, i) => Math.sign(code) * known[Math.abs(code)]! * scales[r]![i]!),
  );
  return { values, scales };
}

/** The most that a code is off, of numbers whose block's largest is 1: half a step of their decade, rounding aside. */
function codeError(size: number, isSigned: boolean): number {
  // Below all decades: zero, or of second moments the least.
  if (size < 1e-7) return isSigned ? 2.8e-7 : 3.3e-7;
  const decade = Math.max(-6, Math.min(0, Math.ceil(Math.log10(size) + 1e-6)));
  const steps = 2 ** (decade + (isSigned ? 6 : 7));
  return (1.05 * 0.45 * 10 ** decade) / steps;
}

/** A step of AdamW or Adam in float64. */
function reference(
  [p, g, m, v]: readonly [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
  step: number,
  name: "AdamW" | "Adam",
): { p: torch.Tensor; m: torch.Tensor; v: torch.Tensor } {
  const { lr, beta1, beta2, eps, weightDecay } = numbers;
  const d = name === "Adam" ? g.add(p.mul(weightDecay)) : g;
  const m1 = m.mul(beta1).add(d.mul(1 - beta1));
  const v1 = v.mul(beta2).add(d.square().mul(1 - beta2));
  const root = v1.div(1 - beta2 ** step).sqrt();
  const kept = name === "AdamW" ? p.mul(1 - lr * weightDecay) : p;
  return { p: kept.sub(m1.div(root.add(eps)).mul(lr / (1 - beta1 ** step))), m: m1, v: v1 };
}

const shapes = [
  [1, 1],
  [3, 255],
  [2, 256],
  [5, 257],
  [7, 600],
  [130, 33],
] as const;

for (const name of ["AdamW", "Adam"] as const) {
  for (const dtype of [torch.float32, torch.bfloat16]) {
    void test(`int8: a step of ${name} on ${dtype.name} is exact but for the codes, for odd sizes`, () => {
      using _ = torch.scope();
      torch.manualSeed(5);
      for (const shape of shapes) {
        const param = torch.randn([...shape]).to(dtype);
        const optimizer = makeOptimizer({ ...numbers, name, stateDtype: "int8" }, [["p", param]]);
        for (let step = 1; step <= 3; step++) {
          const wide = (list: number[][]) => torch.fromArray(list, { dtype: torch.float64 });
          const before = [
            wide(momentsOf(optimizer, "exp_avg").values),
            wide(momentsOf(optimizer, "exp_avg_sq").values),
          ] as const;
          const gradient = torch
            .randn([...shape])
            .mul(
              torch
                .randn([...shape])
                .mul(3)
                .exp(),
            )
            .to(dtype);
          const expected = reference(
            [param.to(torch.float64), gradient.to(torch.float64), ...before],
            step,
            name,
          );
          optimizer.step(undefined, { gradients: new Map([["p", gradient]]) });
          const what = `[${shape.join(", ")}], step ${step}`;
          // The update comes before the codes: float32's roundings, or one to bfloat16.
          const most = param.to(torch.float64).sub(expected.p).abs().max().item();
          const limit = (dtype === torch.float32 ? 2e-6 : 2 ** -8) * expected.p.abs().max().item();
          assert.ok(most <= limit, `${what}: parameter off by ${most}`);
          for (const [part, wanted] of [
            ["exp_avg", expected.m],
            ["exp_avg_sq", expected.v],
          ] as const) {
            const { values, scales } = momentsOf(optimizer, part);
            for (const [r, row] of (wanted.tolist() as number[][]).entries())
              for (const [i, value] of row.entries()) {
                const scale = scales[r]![i]!;
                const off = Math.abs(values[r]![i]! - value) / scale;
                const most = codeError(Math.abs(value) / scale, part === "exp_avg");
                assert.ok(
                  off <= most,
                  `${what}: ${part} is off by ${off} of ${most}, at ${value} of ${scale}`,
                );
              }
            const largest = Math.max(...scales.flat());
            assert.ok(Math.abs(wanted.abs().max().item() / largest - 1) < 1e-5, what);
          }
        }
      }
    });
  }
}

void test("codes are those of the dynamic map: the nearest in a decade, zero kept, and a second moment never becomes zero", () => {
  using _ = torch.scope();
  const values = codeValues(true);
  const squares = codeValues(false);
  assert.equal(values.length, 128);
  assert.equal(squares.length, 255);
  const gradient = [0, 1, -1, 0.5, 1e-2, -3e-4, 2e-6, 1e-9];
  const param = torch.zeros([1, gradient.length]);
  const optimizer = makeOptimizer({ ...numbers, stateDtype: "int8" }, [["p", param]]);
  optimizer.step(undefined, { gradients: new Map([["p", torch.fromArray([gradient])]]) });
  const codes = (partOf(optimizer, "exp_avg").tolist() as number[][])[0]!;
  assert.deepEqual(codes.slice(0, 3), [0, 127, -127]);
  for (const [i, one] of gradient.entries()) {
    const found = Math.sign(codes[i]!) * values[Math.abs(codes[i]!)]!;
    const nearest = Math.min(...values.map((value) => Math.abs(value - Math.abs(one))));
    // Between two decades the border is theirs, not the middle of the two codes beside it.
    assert.ok(Math.abs(found - one) <= 1.7 * nearest + 1e-9, `${one} became ${found}`);
  }
  const second = (partOf(optimizer, "exp_avg_sq").tolist() as number[][])[0]!;
  assert.deepEqual([second[0], second[1], second[2], second[7]], [0, 254, 254, 1]);
});

void test("vectors have float32 moments with int8", () => {
  using _ = torch.scope();
  const optimizer = makeOptimizer({ stateDtype: "int8" }, [["p", torch.ones([7])]]);
  assert.equal(partOf(optimizer, "exp_avg").dtype, torch.float32);
  assert.deepEqual(
    optimizer.state().map(({ part }) => part),
    ["exp_avg", "exp_avg_sq", "step"],
  );
});

/** Trains a small least-squares model; the loss of each of 50 steps. */
function curve(options: OptimizerOptions, dtype = torch.float32): number[] {
  using _ = torch.scope();
  torch.manualSeed(3);
  const inputs = torch.randn([64, 48]);
  const wanted = inputs.matmul(torch.randn([48, 40]).mul(0.3)).relu();
  const params = [
    ["w1", torch.randn([48, 300]).mul(0.1).to(dtype)],
    ["b1", torch.zeros([300]).to(dtype)],
    ["w2", torch.randn([300, 40]).mul(0.05).to(dtype)],
  ] as const;
  const optimizer = makeOptimizer({ ...numbers, lr: 3e-3, ...options }, params);
  return Array.from({ length: 50 }, () => {
    using __ = torch.scope();
    const leaves = params.map(([, p]) => p.to(torch.float32).requiresGrad_());
    const [w1, b1, w2] = leaves as [torch.Tensor, torch.Tensor, torch.Tensor];
    const loss = inputs.matmul(w1).add(b1).relu().matmul(w2).sub(wanted).square().mean();
    const gradients = torch.grad([loss], leaves);
    optimizer.step(undefined, { gradients: new Map(params.map(([n], i) => [n, gradients[i]!.to(dtype)])) });
    return loss.item();
  });
}

void test("50 steps with bfloat16 or int8 moments stay close to float32's", () => {
  const full = curve({});
  assert.ok(full.at(-1)! < 0.1 * full[0]!, "it learns");
  for (const options of [
    { stateDtype: "bfloat16" },
    { stateDtype: "bfloat16", stochasticRounding: true },
    { stateDtype: "int8" },
  ] as const) {
    const narrow = curve(options);
    for (const [i, loss] of narrow.entries())
      assert.ok(
        Math.abs(loss - full[i]!) <= 0.02 * full[0]!,
        `${JSON.stringify(options)}: step ${i}: ${loss}, ${full[i]}`,
      );
    assert.ok(
      narrow.at(-1)! < 1.15 * full.at(-1)!,
      `${JSON.stringify(options)}: ${narrow.at(-1)}, ${full.at(-1)}`,
    );
  }
});

void test("with stochastic rounding bfloat16 weights move by less than their last digit, right in the mean", () => {
  using _ = torch.scope();
  const count = 40_000;
  const step = (stochasticRounding: boolean): torch.Tensor => {
    const param = torch.ones([count], { dtype: torch.bfloat16 });
    const optimizer = makeOptimizer({ lr: 1e-4, weightDecay: 0, stochasticRounding }, [["p", param]]);
    optimizer.step(undefined, { gradients: new Map([["p", torch.ones([count])]]) });
    return param.float();
  };
  // A bfloat16 just below 1 is 2^-8 away; the first step of Adam is lr.
  assert.equal(step(false).sub(1).countNonzero().item(), 0);
  const found = step(true);
  const below = found.sub(1).countNonzero().item();
  assert.ok(
    found
      .ge(1 - 2 ** -8)
      .all()
      .item() && found.le(1).all().item(),
  );
  // Binomial: mean 40,000 x 0.0256 = 1,024 with a deviation of 32.
  assert.ok(Math.abs(below - count * 1e-4 * 2 ** 8) < 200, `${below}`);
});

void test("random numbers follow from seed, name, step and place: the same again, others elsewhere", () => {
  using _ = torch.scope();
  const round = (options: OptimizerOptions & { name_?: string }, length = 999, from = 0): number[] => {
    const param = torch.full([length], 1.5, { dtype: torch.bfloat16 });
    const given = { lr: 1e-3, weightDecay: 0, stochasticRounding: true, offsetOf: () => from, ...options };
    const name = options.name_ ?? "p";
    makeOptimizer(given, [[name, param]]).step(undefined, {
      gradients: new Map([[name, torch.ones([length])]]),
    });
    return param.float().tolist() as number[];
  };
  const whole = round({});
  assert.deepEqual(round({}), whole);
  // A slice is rounded as the whole is.
  assert.deepEqual(round({}, 400, 599), whole.slice(599));
  assert.notDeepEqual(round({ seed: 1 }), whole);
  assert.notDeepEqual(round({ name_: "q" }), whole);
});

for (const stateDtype of ["float32", "bfloat16", "int8"] as const) {
  void test(`a run with ${stateDtype} moments and stochastic rounding goes on bit for bit`, () => {
    using _ = torch.scope();
    torch.manualSeed(9);
    const initial = [torch.randn([9, 300]), torch.randn([11])].map((x) => x.to(torch.bfloat16));
    const gradients = Array.from({ length: 6 }, () => initial.map((x) => torch.randn(x.shape).to(x.dtype)));
    const names = ["a", "b"];
    const make = (params: torch.Tensor[]): Optimizer =>
      makeOptimizer(
        { ...numbers, stateDtype, stochasticRounding: true },
        params.map((p, i) => [names[i]!, p] as const),
      );
    const steps = (optimizer: Optimizer, from: number, to: number): void => {
      for (const list of gradients.slice(from, to))
        optimizer.step(undefined, { gradients: new Map(list.map((g, i) => [names[i]!, g])) });
    };
    const straight = initial.map((p) => p.clone());
    const one = make(straight);
    steps(one, 0, 6);
    const first = initial.map((p) => p.clone());
    const before = make(first);
    steps(before, 0, 3);
    const second = first.map((p) => p.clone());
    const after = make(second);
    after.loadState(before.state().map((state) => ({ ...state, tensor: state.tensor.clone() })));
    steps(after, 3, 6);
    for (const [i, param] of second.entries()) assert.ok(param.equal(straight[i]!));
    for (const [i, { tensor }] of after.state().entries()) assert.ok(tensor.equal(one.state()[i]!.tensor));
  });
}

void test("a forecast's bytes are those of the state", () => {
  using _ = torch.scope();
  for (const stateDtype of ["float32", "bfloat16", "int8"] as const)
    for (const shape of [[3, 5], [4, 700], [11]]) {
      const param = torch.zeros(shape);
      const state = makeOptimizer({ stateDtype }, [["p", param]]).state();
      const bytes = state
        .filter(({ part }) => part !== "step")
        .reduce((sum, { tensor }) => sum + tensor.nbytes, 0);
      assert.equal(optimizerStateBytes({ stateDtype }, param), bytes);
    }
});

void test("what it can't do is refused", () => {
  using _ = torch.scope();
  const wide = [["p", torch.zeros([2], { dtype: torch.float64 })]] as const;
  assert.throws(
    () => makeOptimizer({ stateDtype: "int8" }, wide),
    /p is torch\.float64, expected float32 or bfloat16/,
  );
  assert.throws(
    () => makeOptimizer({ stateDtype: "int8", implementation: "foreach" }, []),
    /int8 moments and stochastic rounding need the implementation fused/,
  );
});
