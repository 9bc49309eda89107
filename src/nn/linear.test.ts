// How a linear layer makes its product: what it records, what a group of ranks changes, casts.
import assert from "node:assert/strict";
import test from "node:test";

import {
  allclose,
  bfloat16,
  float32,
  float64,
  grad,
  manualSeed,
  noGrad,
  randn,
  scope,
  type Tensor,
} from "../torch/index.ts";
import { disposeCasts } from "./cast.ts";
import { Linear, normLinear } from "./linear.ts";
import { recordProducts } from "./products.ts";
import type { TensorRegion } from "./regions.ts";
import { RMSNorm } from "./rms-norm.ts";

const make = (...shape: number[]): Tensor => randn(shape, { dtype: float64 }).requiresGrad_();

/** One rank, which sees what is gathered and scattered. */
function region(seen: string[]): TensorRegion {
  return {
    rank: 0,
    size: 1,
    onHost: true,
    lossParallel: true,
    wholeExperts: false,
    gatherSequence: (x) => (seen.push("gather"), x),
    scatterSequence: (x) => (seen.push("scatter"), x),
    onShard: (x, _, body) => body(x, 0),
    sumOverRanks: (x: Tensor) => x,
    reduce: (x) => x,
    joinColumns: (x) => x,
  };
}

/** A feed-forward behind a norm, by each of the ways there are. */
function feedForward(options: Parameters<typeof normLinear>[4]) {
  manualSeed(2);
  const x = make(9, 6);
  const norm = new RMSNorm(make(6), 1e-6);
  const gate = new Linear(make(8, 6), make(8));
  const up = new Linear(make(8, 6), make(8));
  const down = new Linear(make(6, 8), make(6));
  const { result, products } = recordProducts(() => {
    const [g, u] = normLinear(x, norm, [gate, up], 9, options) as [Tensor, Tensor];
    return down.addTo(down.addSwigluTo(x, g, u, options), g, options);
  });
  const parameters = [norm, gate, up, down].flatMap((part) => part.parameters);
  return {
    output: result,
    gradients: grad(result.sum(), [x, ...parameters], null, { retainGraph: true }),
    products,
  };
}

test("all ways to make a product give the same numbers", () => {
  using _ = scope();
  const seen: string[] = [];
  const expected = feedForward({});
  for (const options of [{ recompute: false }, { region: region(seen) }]) {
    const found = feedForward(options);
    assert.ok(allclose(found.output, expected.output, 1e-12, 1e-12));
    for (const [i, one] of found.gradients.entries())
      assert.ok(allclose(one, expected.gradients[i]!, 1e-12, 1e-12), `gradient ${i}`);
  }
  assert.deepEqual(seen, ["gather", "scatter", "scatter"]);
});

test("each product is recorded once, with what is added by the ranks themselves", () => {
  using _ = scope();
  const shapes = ({ products }: ReturnType<typeof feedForward>): number[][] =>
    products.map(({ outputs, weights }) => [outputs.length, weights.length]);
  // Gate and up are products of one input; with a region down's bias comes after the sum over the ranks.
  assert.deepEqual(shapes(feedForward({})), [
    [2, 4],
    [1, 2],
    [1, 2],
  ]);
  assert.deepEqual(shapes(feedForward({ recompute: false })), [
    [2, 4],
    [1, 2],
    [1, 2],
  ]);
  assert.deepEqual(shapes(feedForward({ region: region([]) })), [
    [2, 4],
    [1, 1],
    [1, 1],
  ]);
  const { output, products } = feedForward({});
  assert.equal(products.at(-1)!.outputs[0], output);
  // Nobody records: nothing is kept.
  const { products: none } = recordProducts(() => undefined);
  assert.deepEqual(none, []);
});

test("a trained weight is cast for each pass, as a leaf", () => {
  using _ = scope();
  const linear = new Linear(randn([4, 3]).requiresGrad_(), randn([4]).requiresGrad_());
  const [first, second] = [linear.cast(bfloat16), linear.cast(bfloat16)];
  assert.equal(first.weight.dtype, bfloat16);
  assert.ok(first.weight.requiresGrad && first.weight.isLeaf);
  assert.notEqual(first.weight, second.weight);
  disposeCasts(first.parameters);
  assert.throws(() => first.weight.sum());
  assert.equal(second.forward(randn([2, 3]).to(bfloat16)).dtype, bfloat16);
});

test("the cast of a frozen weight is kept until the weight changes", () => {
  using _ = scope();
  const frozen = randn([4, 3]);
  const linear = new Linear(frozen);
  const castIn = (): Tensor => {
    using _pass = scope();
    const { weight } = linear.cast(bfloat16);
    disposeCasts([weight]);
    return weight;
  };
  const first = castIn();
  assert.equal(castIn(), first);
  assert.ok(first.to(float32).equal(frozen.to(bfloat16).to(float32)));
  noGrad(() => frozen.mul_(2));
  const second = castIn();
  assert.notEqual(second, first);
  assert.ok(second.equal(frozen.to(bfloat16)));
  assert.equal(second.requiresGrad, false);
});
