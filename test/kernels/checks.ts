// Each kernel against float64: tests for whoever imports this, on the device of TORCHFORGE_TEST_DEVICE, which is an emulated one
// (kernels.test.ts) or a GPU (test/cuda/kernels.ts). In float64 operators have no kernel and are composed of libtorch's.
import assert from "node:assert/strict";
import test from "node:test";

import {
  bfloat16,
  call,
  cat,
  float32,
  float64,
  fused,
  grad,
  int64,
  int8,
  manualSeed,
  rand,
  randint,
  randn,
  scope,
  uint8,
} from "../../src/torch/index.ts";
import { tensor as tensorOf, zeros, arange, type Dtype, type Tensor } from "../../src/torch/index.ts";

const device = process.env["TORCHFORGE_TEST_DEVICE"] ?? "cpu";
const dtypes = [float32, bfloat16];

/**
 * Largest difference relative to the largest value. float32: some roundings of sums of up to some thousand terms; bfloat16: one
 * rounding is off by 2^-9, two by twice that, and the largest value may be just above a power of two.
 */
const tolerance = (dtype: Dtype): number => (dtype === float32 ? 1e-5 : 2 ** -7);

function assertNear(found: Tensor, expected: Tensor, limit: number, what: string): void {
  assert.deepEqual(found.shape, expected.shape, `${what}: shape`);
  if (found.numel() === 0) return;
  // Of what should be nothing, what is left by cancellation.
  const most = Math.max(expected.abs().max().item(), 1e-3);
  const difference = found.detach().cpu().to(float64).sub(expected.detach()).abs().max().item();
  assert.ok(difference <= limit * most, `${what}: off by ${difference} of ${most}`);
}

/** Rows that start `shift` elements into memory and lie further apart than they are long. */
function strided(x: Tensor, shift: number): Tensor {
  if (shift === 0) return x.to(device);
  const last = x.shape.at(-1)!;
  const wide = zeros([...x.shape.slice(0, -1), last + 2 * shift], { dtype: x.dtype, device });
  const part = wide.narrow(-1, shift, last);
  part.copy_(x);
  return part;
}

/** Outputs and gradients on the device beside those in float64 on the CPU. */
function compare(
  what: string,
  dtype: Dtype,
  made: readonly Tensor[],
  run: (...inputs: Tensor[]) => readonly Tensor[],
  shift = 0,
): void {
  const values = made.map((x) => x.to(dtype));
  const wide = values.map((x) => x.to(float64).requiresGrad_());
  const expected = run(...wide);
  const own = values.map((x) => strided(x, x.ndim > 1 ? shift : 0).requiresGrad_());
  const found = run(...own);
  const weights = expected.map((x) => randn(x.shape).to(dtype));
  for (const [i, x] of expected.entries()) assertNear(found[i]!, x, tolerance(dtype), `${what}: output ${i}`);
  const wantedGrads = grad(
    expected,
    wide,
    weights.map((x) => x.to(float64)),
  );
  const grads = grad(
    found,
    own,
    weights.map((x) => strided(x, x.ndim > 1 ? shift : 0)),
  );
  for (const [i, x] of wantedGrads.entries())
    assertNear(grads[i]!, x, 2 * tolerance(dtype), `${what}: gradient ${i}`);
}

function each(name: string, body: (dtype: Dtype) => void): void {
  for (const dtype of dtypes) {
    void test(`${name} in ${dtype.name}`, { timeout: 120_000 }, () => {
      using _ = scope();
      manualSeed(7);
      body(dtype);
    });
  }
}

// Packs of 8 in one, two and four registers; odd; longer than kernels hold, which is composed.
const widths = [8, 64, 576, 4096, 5120, 8192, 16384, 2, 7, 33, 1001, 20000];

each("rms_norm", (dtype) => {
  for (const size of widths) {
    for (const [rows, shift] of [
      [1, 0],
      [size > 4096 ? 2 : 9, 0],
      [3, 1],
      [2, 8],
    ] as const) {
      const what = `${rows} rows of ${size}, ${shift} apart`;
      compare(
        what,
        dtype,
        [randn([rows, size]), randn([size])],
        (x, w) => [fused.rmsNorm(x, w, 1e-5)],
        shift,
      );
    }
  }
  compare("without a weight", dtype, [randn([3, 40])], (x) => [fused.rmsNorm(x)]);
  compare("no rows", dtype, [randn([0, 40]), randn([40])], (x, w) => [fused.rmsNorm(x, w)]);
});

each("add_rms_norm", (dtype) => {
  for (const size of widths) {
    for (const [rows, shift] of [
      [1, 0],
      [size > 4096 ? 2 : 9, 0],
      [3, 3],
      [2, 8],
    ] as const) {
      const made = [randn([rows, size]), randn([rows, size]), randn([size])];
      compare(
        `${rows} rows of ${size}, ${shift} apart`,
        dtype,
        made,
        (x, r, w) => fused.addRmsNorm(x, r, w),
        shift,
      );
    }
  }
  const two = () => [randn([3, 40]), randn([3, 40])];
  compare("without a weight", dtype, two(), (x, r) => fused.addRmsNorm(x, r));
  compare("only the norm", dtype, two(), (x, r) => [fused.addRmsNorm(x, r)[0]]);
  compare("only the sum", dtype, two(), (x, r) => [fused.addRmsNorm(x, r)[1]]);
});

each("swiglu", (dtype) => {
  for (const size of [1, 8, 30, 1536, 14336]) {
    for (const [rows, shift] of [
      [1, 0],
      [5, 0],
      [4, 1],
      [3, 8],
    ] as const) {
      const what = `${rows} rows of ${size}, ${shift} apart`;
      compare(
        what,
        dtype,
        [randn([rows, size]).mul(4), randn([rows, size])],
        (g, u) => [fused.swiglu(g, u)],
        shift,
      );
      compare(`joined, ${what}`, dtype, [randn([rows, 2 * size])], (x) => [fused.swigluJoined(x)], shift);
    }
  }
  compare("large gates", dtype, [tensorOf([[-200, 200, 0, -1e-3]]), randn([1, 4])], (g, u) => [
    fused.swiglu(g, u),
  ]);
  compare("no rows", dtype, [randn([0, 8]), randn([0, 8])], (g, u) => [fused.swiglu(g, u)]);
});

each("rotary", (dtype) => {
  const angles = arange(64, { dtype: float32 })
    .unsqueeze(1)
    .mul(rand([1, 64]));
  for (const [batch, tokens, heads, kvHeads, dim, rotated] of [
    [1, 1, 1, 1, 2, 2],
    [2, 7, 9, 3, 64, 64],
    [1, 5, 32, 8, 128, 128],
    [1, 5, 4, 4, 80, 32],
    [2, 3, 3, 1, 10, 6],
  ] as const) {
    const [cos, sin] = [angles.cos(), angles.sin()].map((t) => t.narrow(1, 0, rotated / 2).contiguous());
    for (const positions of [undefined, randint(64, [tokens]), randint(64, [batch, tokens])]) {
      const run = (q: Tensor, k: Tensor) =>
        fused.rotaryEmbedding(q, k, cos!.to(q.device), sin!.to(q.device), positions?.to(q.device));
      const made = [randn([batch, tokens, heads, dim]), randn([batch, tokens, kvHeads, dim])];
      for (const shift of [0, 1, 8])
        compare(
          `${[batch, tokens, heads, kvHeads, dim, rotated].join(" ")}, ${shift}`,
          dtype,
          made,
          (q, k) => run(q, k),
          shift,
        );
      compare(
        "transposed",
        dtype,
        made.map((x) => x.transpose(1, 2).contiguous()),
        (q, k) => run(q.transpose(1, 2), k.transpose(1, 2)),
      );
    }
  }
  const outside = fused
    .rotaryEmbedding(
      randn([1, 2, 1, 4]).to(dtype).to(device),
      randn([1, 2, 1, 4]).to(dtype).to(device),
      zeros([3, 2], { device }),
      zeros([3, 2], { device }),
      tensorOf([2, 3], { dtype: int64 }).to(device),
    )[0]
    .to(float32);
  assert.deepEqual(outside.isnan().any(-1).flatten().tolist(), [false, true]);
});

each("cross_entropy_", (dtype) => {
  for (const size of [1, 8, 300, 1001, 4096, 49152, 128256]) {
    for (const rows of size > 10000 ? [2] : [1, 3]) {
      const logits = randn([rows, size]).mul(6).to(dtype);
      const labels = randint(size, [rows]);
      for (const weights of [undefined, rand([rows])]) {
        const run = (x: Tensor, needGrad: boolean): Tensor =>
          call("forge::cross_entropy_", x, labels.to(x.device), weights?.to(x.device), 0.25, needGrad);
        const [wide, own] = [logits.to(float64), logits.clone().to(device)];
        const what = `${rows} rows of ${size}${weights ? ", weighted" : ""}`;
        assertNear(run(own, false), run(wide.clone(), false), 1e-5, `${what}: losses alone`);
        assertNear(own, logits.to(float64), 0, `${what}: logits stay`);
        const expected = run(wide, true);
        assertNear(run(own, true), expected, 1e-5, `${what}: losses`);
        assertNear(own, wide, tolerance(dtype), `${what}: gradient`);
      }
    }
  }
  const far = tensorOf([[-1e30, 1e4, 1e4, -Infinity]])
    .to(dtype)
    .to(device);
  const loss = call(
    "forge::cross_entropy_",
    far,
    tensorOf([1], { dtype: int64 }).to(device),
    undefined,
    1,
    true,
  );
  assertNear(loss, tensorOf([Math.LN2]).to(float64), 1e-5, "large logits");
  const unknown = randn([1, 9]).to(dtype).to(device);
  assert.ok(
    Number.isNaN(
      call(
        "forge::cross_entropy_",
        unknown,
        tensorOf([9], { dtype: int64 }).to(device),
        undefined,
        1,
        true,
      ).item(),
    ),
  );
});

each("linear_cross_entropy", (dtype) => {
  for (const [rows, size, vocabulary, chunkSize] of [
    [1, 8, 16, 0],
    [37, 24, 1000, 0],
    [37, 24, 1003, 5000],
  ] as const) {
    const labels = randint(vocabulary, [rows]);
    labels.narrow(0, 0, rows >> 2).fill_(-100);
    // Weights' partial sums are rounded, too.
    compare(
      `${rows} rows, ${vocabulary} tokens`,
      dtype,
      [randn([rows, size]), randn([vocabulary, size]).mul(0.3)],
      (h, w) => [fused.linearCrossEntropy(h, w, labels.to(h.device), { chunkSize, scale: 0.01 })[0]],
    );
  }
});

void test("sum_of_squares", () => {
  using _ = scope();
  manualSeed(3);
  const sizes = [1, 7, 8, 16384, 16385, 40000, 0, ...Array.from({ length: 200 }, (_, i) => i)];
  for (const choose of [() => float32, () => bfloat16, (i: number) => dtypes[i % 2]!]) {
    const lists = sizes.map((n, i) => {
      const x = randn([n + 1])
        .to(choose(i))
        .to(device);
      return i % 3 === 0 ? x.narrow(0, 1, n) : x.narrow(0, 0, n); // half of them misaligned
    });
    const expected = cat(lists.map((x) => x.cpu().to(float64)))
      .square()
      .sum()
      .item();
    const found = fused.sumOfSquares(lists).item();
    assert.ok(Math.abs(found - expected) <= 1e-12 * expected, `${found}, expected ${expected}`);
    assert.equal(fused.sumOfSquares(lists).item(), found, "the same each time");
    const norm = fused.gradNorm(lists).item();
    assert.ok(Math.abs(norm - Math.sqrt(expected)) <= 1e-6 * norm, `${norm}`);
  }
  const big = tensorOf([1e25, -1e25]).to(device);
  assert.ok(Math.abs(fused.gradNorm([big]).item() / (1e25 * Math.SQRT2) - 1) < 1e-6);
});

for (const [param, gradient, moment] of dtypes.flatMap((p) =>
  dtypes.flatMap((g) => dtypes.map((m) => [p, g, m] as const)),
)) {
  void test(
    `adamw: parameters in ${param.name}, gradients in ${gradient.name}, moments in ${moment.name}`,
    { timeout: 60_000 },
    () => {
      using _ = scope();
      manualSeed(11);
      const sizes = [
        [3],
        [16384],
        [5, 4000],
        [129, 130],
        [0],
        ...Array.from({ length: 90 }, (_, i) => [i + 1]),
      ];
      const make = (dtype: Dtype, positive = false): Tensor[] =>
        sizes.map((shape, i) => {
          const x = randn([...shape.slice(0, -1), shape.at(-1)! + (i % 2)]).to(dtype); // every other one misaligned
          const part = (positive ? x.square().mul(0.01) : x).flatten().narrow(
            0,
            i % 2,
            shape.reduce((a, b) => a * b, 1),
          );
          const own = zeros([part.numel() + (i % 2)], { dtype, device }).narrow(0, i % 2, part.numel());
          return own.copy_(part).view(shape);
        });
      const [params, grads, ms, vs] = [make(param), make(gradient), make(moment), make(moment, true)];
      const before = [params, grads, ms, vs].map((list) => list.map((x) => x.cpu().to(float64)));
      const numbers = { lr: 1e-2, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };
      const gradScale = tensorOf(0.37).to(device);
      fused.adamw(params, grads, ms, vs, 3, { ...numbers, gradScale });
      const { lr, beta1, beta2, eps, weightDecay } = numbers;
      for (const [i, shape] of sizes.entries()) {
        const [p, g, m, v] = before.map((list) => list[i]!);
        const d = g!.mul(Math.fround(0.37));
        const m1 = m!.mul(beta1).add(d.mul(1 - beta1));
        const v1 = v!.mul(beta2).add(d.square().mul(1 - beta2));
        const denominator = v1
          .div(1 - beta2 ** 3)
          .sqrt()
          .add(eps);
        const p1 = p!.mul(1 - lr * weightDecay).sub(m1.div(denominator).mul(lr / (1 - beta1 ** 3)));
        const what = `[${shape.join(", ")}]`;
        const rounding = (dtype: Dtype): number => (dtype === float32 ? 2e-6 : 2 ** -8);
        assertNear(ms[i]!, m1, rounding(moment), `${what}: first moment`);
        assertNear(vs[i]!, v1, rounding(moment), `${what}: second moment`);
        assertNear(params[i]!, p1, rounding(param), `${what}: parameter`);
        assertNear(grads[i]!, g!, 0, `${what}: gradient stays`);
      }
    },
  );
}

/** The values that codes stand for: Dettmers et al. 2022, scaled so that the largest is 1. */
function codeValues(isSigned: boolean): number[] {
  const values = [0];
  for (let decade = 0; decade < 7; decade++) {
    const steps = 2 ** (isSigned ? decade : decade + 1);
    for (let i = 0; i < steps; i++) values.push(10 ** (decade - 6) * (0.1 + (0.9 * (i + 0.5)) / steps));
  }
  return values.map((one) => one / values.at(-1)!);
}

for (const [param, gradient, coded] of dtypes.flatMap((p) =>
  dtypes.flatMap((g) => [...dtypes, "codes" as const].map((m) => [p, g, m] as const)),
)) {
  const moment = coded === "codes" ? float32 : coded;
  const name = coded === "codes" ? "as codes" : `in ${coded.name}`;
  void test(
    `adamw_narrow: parameters in ${param.name}, gradients in ${gradient.name}, moments ${name}`,
    { timeout: 60_000 },
    () => {
      using _ = scope();
      manualSeed(13);
      // More than a launch takes, more than a block does, rows of one and of several blocks of codes.
      const sizes = [
        [3, 1],
        [65, 256],
        [2, 16385],
        [129, 130],
        [0, 5],
        [5, 1000],
        ...Array.from({ length: 60 }, (_, i) => [1 + (i % 3), 1 + 9 * i]),
      ];
      const [params, grads] = [param, gradient].map((dtype) => sizes.map((shape) => randn(shape).to(dtype)));
      const ms = sizes.map((shape) => randn(shape).to(moment));
      const vs = sizes.map((shape) => randn(shape).square().mul(0.01).to(moment));
      const blocks = sizes.map(([rows, columns]) => [rows!, Math.ceil(columns! / 256)]);
      const numbers = { lr: 1e-2, beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, gradScale: 0.37 };
      for (const [decoupled, stochastic] of [
        [true, false],
        [false, true],
      ] as const) {
        const on = (list: readonly Tensor[]): Tensor[] => list.map((x) => x.to({ device, copy: true }));
        const [p, g] = [on(params!), on(grads!)];
        const isCoded = coded === "codes";
        const zero = (dtype: Dtype, shapes: readonly number[][]): Tensor[] =>
          shapes.map((shape) => zeros(shape, { dtype, device }));
        const m = isCoded ? zero(int8, sizes) : on(ms);
        const v = isCoded ? zero(uint8, sizes) : on(vs);
        const [scales, sqScales] = isCoded ? [zero(float32, blocks), zero(float32, blocks)] : [[], []];
        const keys = sizes.map((_, i) => i * 7919);
        const offsets = sizes.map(() => 0);
        const options = { ...numbers, decoupled, stochastic, scales, sqScales, keys, offsets };
        fused.adamwNarrow(p, g, m, v, 3, options);
        const { lr, beta1, beta2, eps, weightDecay } = numbers;
        for (const [i, shape] of sizes.entries()) {
          const [p0, g0, m0, v0] = [params!, grads!, ms, vs].map((list) => list[i]!.to(float64));
          const d0 = g0!.mul(0.37);
          const d = decoupled ? d0 : d0.add(p0!.mul(weightDecay));
          const m1 = (isCoded ? m0!.mul(0) : m0!.mul(beta1)).add(d.mul(1 - beta1));
          const v1 = (isCoded ? v0!.mul(0) : v0!.mul(beta2)).add(d.square().mul(1 - beta2));
          const denominator = v1
            .div(1 - beta2 ** 3)
            .sqrt()
            .add(eps);
          const kept = decoupled ? p0!.mul(1 - lr * weightDecay) : p0!;
          const p1 = kept.sub(m1.div(denominator).mul(lr / (1 - beta1 ** 3)));
          const what = `[${shape.join(", ")}]${stochastic ? ", stochastic" : ""}`;
          // Rounding at random is off by up to a whole step.
          const rounding = (dtype: Dtype): number =>
            dtype === float32 ? 2e-6 : stochastic ? 2 ** -7 : 2 ** -8;
          assertNear(p[i]!, p1, rounding(param), `${what}: parameter`);
          if (!isCoded) {
            assertNear(m[i]!, m1, rounding(moment), `${what}: first moment`);
            assertNear(v[i]!, v1, rounding(moment), `${what}: second moment`);
            continue;
          }
          const [rows, columns] = shape as [number, number];
          const inRow = blocks[i]![1]!;
          for (const [codes, wanted, scale, isSigned] of [
            [m[i]!, m1, scales[i]!, true],
            [v[i]!, v1, sqScales[i]!, false],
          ] as const) {
            const values = tensorOf(codeValues(isSigned), { dtype: float64 });
            const found = values.index([codes.cpu().to(int64).abs()]).mul(codes.cpu().to(float64).sign());
            for (let block = 0; block < inRow; block++) {
              const start = Math.floor((block * columns) / inRow);
              const length = Math.floor(((block + 1) * columns) / inRow) - start;
              if (rows === 0) continue;
              const part = wanted.narrow(1, start, length);
              const most = part.abs().amax([1], true);
              const of = scale.cpu().narrow(1, block, 1).to(float64);
              assertNear(of, most, 1e-5, `${what}: scale of block ${block}`);
              // Half a step of the topmost decade, or of one below, whose steps are smaller.
              const off = found.narrow(1, start, length).mul(of).sub(part).abs().div(most).max().item();
              assert.ok(off <= (isSigned ? 0.0075 : 0.0037), `${what}: block ${block} is off by ${off}`);
            }
          }
        }
      }
    },
  );
}
