import assert from "node:assert/strict";
import { test } from "node:test";

import { empty, memoryStats, ones, resetPeakMemory, scope } from "../torch/index.ts";
import {
  allReduce,
  destroyProcessGroup,
  functional,
  isSimulated,
  newGroup,
  simulatedCalls,
  simulateProcessGroup,
  worldStore,
} from "./index.ts";

void test("one rank of a world of eight, alone: calls are done at once and counted", async () => {
  const world = simulateProcessGroup({ rank: 5, worldSize: 8, backend: "nccl" });
  try {
    assert.ok(isSimulated());
    assert.deepEqual([world.rank, world.size], [5, 8]);
    assert.throws(() => worldStore(), {
      message: "worldStore: the other ranks are simulated, so there is no store.",
    });
    const pair = await newGroup([4, 5]);
    assert.equal(pair.rank, 1);
    using _ = scope();
    assert.deepEqual(allReduce(ones([2])).tolist(), [1, 1]);
    const x = empty([1024, 256], { device: "meta" });
    const [gathered, reduced] = [
      functional.allGatherTensor(x, { group: pair }),
      functional.reduceScatterTensor(x, { group: world }),
    ];
    assert.deepEqual(
      [gathered.shape, reduced.shape],
      [
        [2048, 256],
        [128, 256],
      ],
    );
    const early = allReduce(x, { async: true });
    const late = allReduce(x, { async: true });
    late.wait();
    void empty([1], { device: "meta" });
    early.wait();
    const found = simulatedCalls().map(({ group, ...one }) => ({ ranks: group.ranks.length, ...one }));
    const bytes = 1024 * 256 * 4;
    assert.deepEqual(
      found.toSorted((a, b) => a.kind.localeCompare(b.kind)),
      [
        { ranks: 2, kind: "all-gather", calls: 1, bytes, waitedBytes: bytes },
        { ranks: 8, kind: "all-reduce", calls: 3, bytes: 2 * bytes + 8, waitedBytes: bytes + 8 },
        { ranks: 8, kind: "reduce-scatter", calls: 1, bytes, waitedBytes: bytes },
      ],
    );
    assert.deepEqual(simulatedCalls(), []);
  } finally {
    await destroyProcessGroup();
  }
  assert.ok(!isSimulated());
});

void test("tensors without memory are counted as if they had it, also where their storage goes and comes", () => {
  using _ = scope();
  const before = memoryStats("meta").currentBytes;
  resetPeakMemory("meta");
  const x = empty([1000, 1000], { device: "meta" });
  const bytes = 4e6;
  assert.equal(memoryStats("meta").currentBytes - before, bytes);
  x.storage.resize_(0);
  assert.equal(memoryStats("meta").currentBytes, before);
  x.storage.resize_(bytes);
  x.add(1).dispose();
  const { currentBytes, peakBytes } = memoryStats("meta");
  assert.deepEqual([currentBytes - before, peakBytes - before], [bytes, 2 * bytes]);
});

void test("a tensor without memory has no values", () => {
  using _ = scope();
  const x = empty([3], { device: "meta" });
  assert.throws(() => x.sum().item(), /item: a tensor of the device meta has no values/);
  assert.throws(() => x.nonzero(), /nonzero: a tensor of the device meta has no values/);
});
