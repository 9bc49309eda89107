// Gradients of the differentiable collectives. The objective is the sum over ranks of each rank's loss
// sum(weight_r * result_r); its gradient by this rank's input is worked out by hand in each case.
import assert from "node:assert/strict";

import { destroyProcessGroup, differentiable, newGroup, type ProcessGroup } from "../../../src/comm/index.ts";
import { bfloat16, type Dtype, float32, float64, type Tensor } from "../../../src/torch/index.ts";
import { check, joinWorld, leave, numbersOf, rank, ranks, size, tensorOf } from "../rank.ts";

await joinWorld();

/** Rank r's weight for place i of its result. */
const weight = (r: number, i: number) => ((r * 3 + i * 2) % 5) - 2;
const input = (r: number, i: number) => ((r * 5 + i * 7) % 4) - 1;
const count = (n: number) => Array.from({ length: n }, (_, i) => i);
const sumOver = (f: (r: number) => number) => ranks.reduce((total, r) => total + f(r), 0);
const zero = (x: number) => (x === 0 ? 0 : x);

function gradientOf(
  shape: number[],
  dtype: Dtype,
  run: (x: Tensor) => Tensor,
): { result: Tensor; gradient: number[] } {
  const n = shape.reduce((a, b) => a * b, 1);
  const x = tensorOf(
    count(n).map((i) => input(rank, i)),
    dtype,
  )
    .view(shape)
    .requiresGrad_();
  const result = run(x);
  const weights = tensorOf(
    count(result.numel()).map((i) => weight(rank, i)),
    dtype,
  ).view(result.shape);
  result.mul(weights).sum().backward();
  return { result, gradient: numbersOf(x.grad!) };
}

for (const dtype of [float32, float64, bfloat16]) {
  await check(`allReduce ${dtype.name}`, () => {
    const { result, gradient } = gradientOf([2, 3], dtype, (x) => differentiable.allReduce(x));
    assert.deepEqual(
      numbersOf(result),
      count(6).map((i) => zero(sumOver((r) => input(r, i)))),
    );
    assert.deepEqual(
      gradient,
      count(6).map((i) => zero(sumOver((r) => weight(r, i)))),
    );
  });
  await check(`allReduce avg ${dtype.name}`, () => {
    const { gradient } = gradientOf([6], dtype, (x) => differentiable.allReduce(x, { op: "avg" }));
    assert.deepEqual(
      gradient,
      count(6).map((i) => zero(sumOver((r) => weight(r, i)) / size)),
    );
  });
  await check(`allGather ${dtype.name}`, () => {
    const { result, gradient } = gradientOf([2, 2], dtype, (x) => differentiable.allGather(x));
    assert.deepEqual(result.shape, [2 * size, 2]);
    assert.deepEqual(
      numbersOf(result),
      ranks.flatMap((r) => count(4).map((i) => zero(input(r, i)))),
    );
    assert.deepEqual(
      gradient,
      count(4).map((i) => zero(sumOver((r) => weight(r, rank * 4 + i)))),
    );
  });
  await check(`allGather along dim 1 ${dtype.name}`, () => {
    const { result, gradient } = gradientOf([2, 2], dtype, (x) => differentiable.allGather(x, { dim: 1 }));
    assert.deepEqual(result.shape, [2, 2 * size]);
    const place = (i: number) => Math.floor(i / 2) * 2 * size + rank * 2 + (i % 2);
    assert.deepEqual(
      gradient,
      count(4).map((i) => zero(sumOver((r) => weight(r, place(i))))),
    );
  });
  await check(`reduceScatter ${dtype.name}`, () => {
    const { result, gradient } = gradientOf([size, 3], dtype, (x) => differentiable.reduceScatter(x));
    assert.deepEqual(
      numbersOf(result),
      count(3).map((i) => zero(sumOver((r) => input(r, rank * 3 + i)))),
    );
    assert.deepEqual(
      gradient,
      ranks.flatMap((r) => count(3).map((i) => zero(weight(r, i)))),
    );
  });
  await check(`reduceScatter avg along dim 1 ${dtype.name}`, () => {
    const run = (x: Tensor) => differentiable.reduceScatter(x, { op: "avg", dim: 1 });
    const { gradient } = gradientOf([3, size], dtype, run);
    assert.deepEqual(
      gradient,
      count(3).flatMap((i) => ranks.map((r) => zero(weight(r, i) / size))),
    );
  });
  await check(`allToAll ${dtype.name}`, () => {
    const { result, gradient } = gradientOf([size, 2], dtype, (x) => differentiable.allToAll(x));
    assert.deepEqual(
      numbersOf(result),
      ranks.flatMap((r) => count(2).map((i) => zero(input(r, rank * 2 + i)))),
    );
    assert.deepEqual(
      gradient,
      ranks.flatMap((r) => count(2).map((i) => zero(weight(r, rank * 2 + i)))),
    );
  });
  await check(`allToAll with split sizes ${dtype.name}`, () => {
    const rows = (from: number, to: number) => (from + to) % 3;
    const inputSplits = ranks.map((to) => rows(rank, to));
    const outputSplits = ranks.map((from) => rows(from, rank));
    const total = inputSplits.reduce((a, b) => a + b);
    const { gradient } = gradientOf([total, 2], dtype, (x) =>
      differentiable.allToAll(x, { inputSplits, outputSplits }),
    );
    // The rows for rank `to` stand there behind those of the ranks before this one.
    const expected = ranks.flatMap((to) => {
      const before = ranks.slice(0, rank).reduce((n, from) => n + rows(from, to), 0) * 2;
      return count(rows(rank, to) * 2).map((i) => zero(weight(to, before + i)));
    });
    assert.deepEqual(gradient, expected);
  });
  await check(`copyToRegion and reduceFromRegion ${dtype.name}`, () => {
    const copied = gradientOf([4], dtype, (x) => differentiable.copyToRegion(x));
    assert.deepEqual(
      numbersOf(copied.result),
      count(4).map((i) => zero(input(rank, i))),
    );
    assert.deepEqual(
      copied.gradient,
      count(4).map((i) => zero(sumOver((r) => weight(r, i)))),
    );
    const summed = gradientOf([4], dtype, (x) => differentiable.reduceFromRegion(x));
    assert.deepEqual(
      numbersOf(summed.result),
      count(4).map((i) => zero(sumOver((r) => input(r, i)))),
    );
    assert.deepEqual(
      summed.gradient,
      count(4).map((i) => zero(weight(rank, i))),
    );
  });
}

await check("in a sub-group, and through a chain", async () => {
  const pair = rank < 2 ? [0, 1] : [2, 3];
  const group: ProcessGroup = await newGroup(pair.slice(0, size));
  const { gradient } = gradientOf([2, 2], float64, (x) =>
    differentiable.allGather(differentiable.reduceScatter(x.mul(2), { group }), { group }),
  );
  const expected = count(4).map((i) => zero(group.ranks.reduce((total, r) => total + 2 * weight(r, i), 0)));
  assert.deepEqual(gradient, expected);
});

await check("mistakes", () => {
  const x = tensorOf([1, 2, 3], float64).requiresGrad_();
  const max = { op: "max" as "sum" };
  assert.throws(
    () => differentiable.allReduce(x, max),
    /op: only "sum" and "avg" have a gradient, found "max"/,
  );
  assert.throws(
    () => differentiable.reduceScatter(x),
    /dimension 0 of \[3\] doesn't divide among the \d ranks/,
  );
  assert.throws(
    () => differentiable.allGather(x, { dim: 1 }),
    /dim: expected a dimension of a tensor of shape \[3\], found 1/,
  );
});

await destroyProcessGroup();
leave();
