import assert from "node:assert/strict";
import { test } from "node:test";

import { alternate, holds, median, medianRatio, Peer, round } from "./harness.ts";

test("median, and the median of ratios within rounds", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.throws(() => median([]), /median of nothing/);
  assert.equal(medianRatio([1, 20, 3], [2, 10, 6]), 0.5);
});

test("a bar holds at its limit, and never on NaN", () => {
  assert.ok(holds({ name: "x", value: 1, op: "<=", limit: 1 }));
  assert.ok(!holds({ name: "x", value: 1.01, op: "<=", limit: 1 }));
  assert.ok(!holds({ name: "x", value: 1.29, op: ">=", limit: 1.3 }));
  assert.ok(!holds({ name: "x", value: Number.NaN, op: "<=", limit: 1 }));
  assert.equal(round(1.23456789), 1.235);
});

test("contenders run in turn, in reversed order every other round, and warm-up is thrown away", async () => {
  const order: string[] = [];
  let n = 0;
  const run = (name: string) => () => {
    order.push(name);
    return n++;
  };
  const values = await alternate(2, { a: run("a"), b: run("b") });
  assert.deepEqual(order, ["b", "a", "a", "b", "b", "a"]);
  assert.deepEqual(values, { a: [2, 5], b: [3, 4] });
});

test(
  "a peer answers in order, and its death is an error instead of a wait",
  { timeout: 20_000 },
  async () => {
    const echo =
      "require('readline').createInterface({input: process.stdin}).on('line', (l) => l === '0' ? process.exit(3) : console.log(JSON.stringify({got: JSON.parse(l)})))";
    using peer = new Peer(process.execPath, ["-e", echo]);
    assert.deepEqual(await Promise.all([peer.ask(1), peer.ask("two")]), [{ got: 1 }, { got: "two" }]);
    await assert.rejects(peer.ask(0), /ended with 3/);
    await assert.rejects(peer.ask(1), /ended with 3/);
  },
);
