import assert from "node:assert/strict";
import test from "node:test";

import { blockOf, parameter } from "../../nn/index.ts";
import { blocksOfRank } from "./pipeline.ts";
import { splitStages } from "./stages.ts";

const bounds = (costs: readonly number[], stages: number): [number, number][] =>
  splitStages(costs, stages).map(({ start, end }) => [start, end]);

void test("the most expensive stage costs as little as possible, and the others are even", () => {
  // Embedding, eight layers, and a head that costs as much as four of them.
  const costs = [0, ...Array.from({ length: 8 }, () => 1), 4];
  assert.deepEqual(bounds(costs, 2), [
    [0, 7],
    [7, 10],
  ]);
  assert.deepEqual(bounds(costs, 3), [
    [0, 5],
    [5, 9],
    [9, 10],
  ]);
  assert.deepEqual(bounds(costs, 1), [[0, 10]]);
});

void test("it is the best of all divisions", () => {
  const largest = (costs: readonly number[], from: number, stages: number): number => {
    const sum = (a: number, b: number): number => costs.slice(a, b).reduce((x, y) => x + y, 0);
    if (stages === 1) return sum(from, costs.length);
    let best = Infinity;
    for (let end = from + 1; end <= costs.length - stages + 1; end++)
      best = Math.min(best, Math.max(sum(from, end), largest(costs, end, stages - 1)));
    return best;
  };
  for (let seed = 1; seed < 40; seed++) {
    const costs = Array.from({ length: 9 }, (_, i) => ((seed * 37 + i * i * 11) % 17) + 1);
    const stages = 2 + (seed % 4);
    const found = splitStages(costs, stages).map(({ start, end }) =>
      costs.slice(start, end).reduce((a, b) => a + b, 0),
    );
    assert.equal(Math.max(...found), largest(costs, 0, stages), costs.join(" "));
  }
});

void test("more stages than blocks are refused", () => {
  assert.throws(() => splitStages([1, 1], 3), {
    name: "RangeError",
    message: "expected between 1 and 2 stages, one block each at least, found 3",
  });
});

void test("a tied embedding is copied to the head's rank, unless that has it", () => {
  const head = { ...parameter("head", [9, 2]), tiedTo: "embed" };
  const specs = [
    blockOf([parameter("embed", [9, 2])], { valuesInBackward: false }),
    blockOf([parameter("layer", [2, 2])]),
    blockOf([parameter("norm", [2])], { tied: [head] }),
  ];
  const stages = splitStages([1, 1, 1], 2);
  const last = blocksOfRank(specs, stages, [0, 1], 1).specs.at(-1)!;
  assert.deepEqual([...last.parameters.keys()], ["norm", "embed"]);
  assert.deepEqual(
    [...last.parameters.values()].map(({ isCopy = false }) => isCopy),
    [false, true],
  );
  assert.equal(last.tied, undefined);
  const both = blocksOfRank(specs, splitStages([1, 1, 1], 3), [0, 1, 0], 0);
  assert.deepEqual(both.blocks, [0, 2]);
  assert.deepEqual([...both.specs.at(-1)!.parameters.keys()], ["norm"]);
  assert.deepEqual(both.specs.at(-1)!.tied, [head]);
});
