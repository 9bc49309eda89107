import assert from "node:assert/strict";
import { test } from "node:test";
import { Random, shuffledOrder } from "./random.ts";

void test("the same seed gives the same numbers, on every machine", () => {
  const random = new Random(42);
  const first = [random.uint32(), random.uint32(), random.uint32()];
  assert.deepEqual(first, [660444221, 3652823732, 77672526]);
  assert.notDeepEqual(new Random(43).uint32(), first[0]);
  assert.notDeepEqual(new Random(42 + 2 ** 32).uint32(), first[0]);
});

void test("xoshiro128** equals its authors' reference from the state 1, 2, 3, 4", () => {
  const random = new Random([1, 2, 3, 4]);
  // rotl(2 * 5, 7) * 9, and on with the reference's update.
  assert.deepEqual([random.uint32(), random.uint32(), random.uint32()], [11520, 0, 5927040]);
});

void test("the state goes through JSON and on from there", () => {
  const random = new Random(7);
  random.uint32();
  const copy = new Random(JSON.parse(JSON.stringify(random.state)) as [number, number, number, number]);
  assert.deepEqual([copy.uint32(), copy.below(10)], [random.uint32(), random.below(10)]);
});

void test("an epoch's order holds every row once, differs by epoch, and is near uniform", () => {
  const order = shuffledOrder(1000, 42, 0);
  assert.deepEqual(
    [...order].sort((a, b) => a - b),
    Array.from({ length: 1000 }, (_, i) => i),
  );
  assert.deepEqual(shuffledOrder(1000, 42, 0), order);
  assert.notDeepEqual(shuffledOrder(1000, 42, 1), order);
  const firsts = Array.from({ length: 6000 }, (_, epoch) => shuffledOrder(6, 1, epoch)[0]!);
  for (let i = 0; i < 6; i++) {
    const share = firsts.filter((x) => x === i).length / firsts.length;
    assert.ok(Math.abs(share - 1 / 6) < 0.02, `${i}: ${share}`); // 4 standard deviations
  }
});
