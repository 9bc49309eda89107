import assert from "node:assert/strict";
import test from "node:test";

import type { LoaderState } from "./loader.ts";
import { RowOrder } from "./order.ts";
import { reshardLoaderStates } from "./reshard.ts";

const rows = 23;
const state = (
  rank: number,
  worldSize: number,
  position: number,
  buffer: number[],
  epoch = 0,
): LoaderState => ({
  version: 2,
  data: { rows: "r", formats: "f", tokenizer: "t", template: "c", settings: "s" },
  now: 0,
  seed: 42,
  rank,
  worldSize,
  epoch,
  position,
  buffer,
  ledger: { trained: position, reasons: [] },
});

/** The rows of an epoch that a rank has taken, and those that it will take. */
function split({ rank, worldSize, epoch, position }: LoaderState): { taken: number[]; left: number[] } {
  const order = new RowOrder({ rows, key: "k", seed: 42, shuffle: true, rank, worldSize });
  order.seek(epoch, 0);
  const all = order.ahead(0, rows);
  return { taken: all.slice(0, position), left: all.slice(position) };
}

void test("no row is left out for any other number of ranks, and few come twice", () => {
  for (const old of [1, 2, 3]) {
    for (const worldSize of [1, 2, 4]) {
      const before = Array.from({ length: old }, (_, rank) => state(rank, old, 4 + (rank % 2), [])).map(
        (one) => ({ ...one, buffer: split(one).taken.slice(-2) }),
      );
      const after = reshardLoaderStates(before, worldSize);
      assert.deepEqual(
        after.map((one) => [one.rank, one.worldSize]),
        Array.from({ length: worldSize }, (_, rank) => [rank, worldSize]),
      );
      const trained = new Set(
        before.flatMap((one) => split(one).taken.filter((row) => !one.buffer.includes(row))),
      );
      const coming = after.flatMap((one) => [...one.buffer, ...split(one).left]);
      assert.equal(new Set([...trained, ...coming]).size, rows);
      const twice = coming.filter((row) => trained.has(row)).length;
      assert.ok(twice <= old, `${twice} rows come twice`);
      assert.equal(
        after.reduce((sum, one) => sum + one.ledger.trained, 0),
        before.reduce((sum, one) => sum + one.ledger.trained, 0),
      );
    }
  }
});

void test("the same number of ranks goes on exactly", () => {
  const before = [state(0, 2, 4, [1]), state(1, 2, 5, [2])];
  assert.deepEqual(reshardLoaderStates(before, 2), before);
});

void test("ranks of an epoch that is over wait for those behind", () => {
  const after = reshardLoaderStates([state(0, 2, 11, [], 0), state(1, 2, 1, [], 1)], 1);
  assert.equal(after[0]!.epoch, 0);
  assert.equal(after[0]!.position, 22);
});
