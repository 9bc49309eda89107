// The experts' feed-forward against the same thing in libtorch's own operators, row by row: few rows and many, experts without
// rows, one choice and several, three dtypes; each gradient alone and all together. Then the rows' way there and back.
import assert from "node:assert/strict";
import test from "node:test";

import * as torch from "../../src/torch/index.ts";
import { call, grad, type Dtype, type Tensor } from "../../src/torch/index.ts";
import { assertClose } from "../assert-close.ts";

// How an operator is shared out among threads is tested, too; the tests of processes have one each.
torch.setNumThreads(2);

/** Relative to the largest value: sums of at most 300 terms in another order; bfloat16: roundings of 2^-8 in each product. */
const tolerances: readonly (readonly [Dtype, number])[] = [
  [torch.float32, 5e-6],
  [torch.float64, 1e-13],
  [torch.bfloat16, 2 ** -5],
];

/** Another one than the CPU: see `npm run test:cuda`. */
const device = process.env["TORCHFORGE_TEST_DEVICE"] ?? "cpu";

const sizes = { hidden: 24, inner: 36, experts: 5 };

/** Drawn on the CPU: the same on every device. */
const random = (shape: readonly number[], dtype: Dtype): Tensor =>
  torch.randn(shape, { dtype: torch.float64 }).to({ dtype, device });

/** Rows of which none goes to the expert 2. */
function setting(rows: number, choices: number, dtype: Dtype, inner = sizes.inner) {
  torch.manualSeed(7);
  const of = (...shape: number[]) => random(shape, dtype).detach().requiresGrad_();
  const chosen = Array.from({ length: rows }, (_, row) =>
    Array.from({ length: choices }, (_, j) => [0, 1, 3, 4][(row * row + j) % 4]!),
  );
  const flat = torch.fromTypedArray(BigInt64Array.from(chosen.flat(), BigInt), [rows * choices]).to(device);
  const each = (make: () => Tensor) => Array.from({ length: sizes.experts }, make);
  return {
    chosen,
    order: torch.argsort(flat, { stable: true }),
    counts: flat.bincount(null, sizes.experts),
    x: of(rows, sizes.hidden),
    weights: torch
      .rand([rows, choices], { dtype: torch.float64 })
      .to({ dtype, device })
      .detach()
      .requiresGrad_(),
    gate: each(() => of(inner, sizes.hidden)),
    up: each(() => of(inner, sizes.hidden)),
    down: each(() => of(sizes.hidden, inner)),
  };
}
type Setting = ReturnType<typeof setting>;

const fused = ({ x, order, weights, counts, gate, up, down }: Setting): Tensor =>
  call("forge::expert_mlp", x, order, weights, counts, gate, up, down);

function plain({ chosen, x, weights, gate, up, down }: Setting): Tensor {
  const rows = chosen.map((experts, row) => {
    const one = x.narrow(0, row, 1);
    return experts
      .map((e, j) => {
        const act = torch.silu(torch.linear(one, gate[e]!)).mul(torch.linear(one, up[e]!));
        return torch.linear(act, down[e]!).mul(weights.narrow(0, row, 1).narrow(1, j, 1));
      })
      .reduce((a, b) => a.add(b));
  });
  return torch.cat(rows);
}

const leavesOf = ({ x, weights, gate, up, down }: Setting): Tensor[] => [x, weights, ...gate, ...up, ...down];

for (const [dtype, tolerance] of tolerances) {
  for (const [rows, choices] of [
    [1, 1],
    [7, 2],
    [100, 3],
  ] as const) {
    void test(`expert_mlp: ${rows} rows to ${choices} of ${sizes.experts} experts, ${dtype.name}`, () => {
      using _ = torch.scope();
      const given = setting(rows, choices, dtype);
      const [found, expected] = [fused(given), plain(given)];
      assertClose(found, expected, { rtol: tolerance, floor: 1e-3 }, "output");
      assertClose(
        torch.noGrad(() => fused(given)),
        found,
        {},
        "without a graph",
      );
      const by = random(found.shape, dtype);
      const leaves = leavesOf(given);
      const all = grad(found, leaves, [by], { retainGraph: true });
      // What no row goes to has no part in the composition, and zeros here: every parameter has a gradient.
      const wanted = grad(expected, leaves, [by], { allowUnused: true });
      for (const [i, leaf] of leaves.entries()) {
        const whole = wanted[i] ?? torch.zeros(leaf.shape, { dtype, device });
        assertClose(all[i]!, whole, { rtol: tolerance, floor: 1e-3 }, `gradient ${i}`);
        // As backward asks for them where it is split.
        const [alone] = grad(found, [leaf], [by], { retainGraph: true });
        assertClose(alone!, all[i]!, {}, `gradient ${i} alone`);
      }
    });
  }
}

/** `run` with libtorch's grouped products, which it refuses where they aren't possible, or with a loop over the experts. */
function by<T>(way: "libtorch" | "loop", run: () => T): T {
  process.env["TORCHFORGE_GROUPED_MM"] = way;
  try {
    return run();
  } finally {
    delete process.env["TORCHFORGE_GROUPED_MM"];
  }
}

/** The experts' matrices as views of one tensor, at even distances: FSDP gathers them so. */
function together(given: Setting): Setting {
  const [gate, up, down] = [given.gate, given.up, given.down].map((list) =>
    torch
      .noGrad(() => torch.stack(list))
      .unbind(0)
      .map((one) => one.detach().requiresGrad_()),
  ) as [Tensor[], Tensor[], Tensor[]];
  return { ...given, gate, up, down };
}

for (const [dtype, tolerance] of tolerances.filter(([one]) => one !== torch.float64)) {
  void test(`libtorch's grouped products give what the loop gives, ${dtype.name}`, () => {
    using _ = torch.scope();
    const apart = setting(100, 3, dtype, 40);
    for (const given of [apart, together(apart)]) {
      const leaves = leavesOf(given);
      const [found, expected] = (["libtorch", "loop"] as const).map((way) =>
        by(way, () => {
          torch.manualSeed(1);
          const output = fused(given);
          return [output, ...grad(output, leaves, [random(output.shape, dtype)])] as Tensor[];
        }),
      ) as [Tensor[], Tensor[]];
      for (const [i, one] of found.entries())
        assertClose(one, expected[i]!, { rtol: tolerance, floor: 1e-3 }, `result ${i}`);
    }
  });
}

void test("libtorch's grouped products are refused where it has none", () => {
  using _ = torch.scope();
  const fails = (given: Setting, message: RegExp) =>
    assert.throws(() => by("libtorch", () => fused(given)), message);
  fails(setting(6, 2, torch.float64), /_grouped_mm doesn't take Double \[12, 24\] to 36 columns on c/);
  fails(setting(6, 2, torch.bfloat16), /_grouped_mm doesn't take BFloat16 \[12, 24\] to 36 columns on c/);
});

void test("spread_rows and collect_rows are each other's gradient", () => {
  using _ = torch.scope();
  const { x, order, chosen } = setting(9, 3, torch.float64);
  const pairs = call("forge::spread_rows", x, order, 3);
  assert.deepEqual(pairs.shape, [27, sizes.hidden]);
  const places = order.tolist() as number[];
  for (const [at, place] of places.entries())
    assertClose(pairs.narrow(0, at, 1), x.narrow(0, Math.floor(place / 3), 1), {}, `pair ${at}`);
  const sum = call("forge::collect_rows", pairs, order, 3);
  assertClose(sum, x.mul(chosen[0]!.length), { rtol: 1e-15 }, "each row thrice");
  const by = random(x.shape, torch.float64);
  assertClose(grad(sum, [x], [by])[0]!, by.mul(3), { rtol: 1e-15 }, "and so its gradient");
});

void test("expert_mlp refuses what doesn't fit", () => {
  using _ = torch.scope();
  const given = setting(6, 2, torch.float32);
  const but = (changes: Partial<Setting>) => () => fused({ ...given, ...changes });
  const { order, weights, counts, down } = given;
  assert.throws(but({ order: order.to(torch.int32) }), /expected an order of int64 \[N\], found Int/);
  assert.throws(
    but({ weights: weights.narrow(1, 0, 1) }),
    /expected an order of 1 times as many as the rows \(6\), found 12/,
  );
  assert.throws(but({ down: down.slice(1) }), /a gate, an up and a down of each expert, found 5, 5 and 4/);
  assert.throws(but({ counts: counts.add(1) }), /expected counts that sum to 12, found 17/);
  assert.throws(but({ gate: given.down }), /expected gate and up of shape \[I, 24\]/);
});
