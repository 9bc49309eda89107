import assert from "node:assert/strict";
import { test } from "node:test";

import { Config } from "./config.ts";
import { parseSplit } from "./derive.ts";
import type { ConfigInput } from "./schema.ts";
import { model } from "./testing.ts";

const derived = (sections: ConfigInput) =>
  Config.create({ model, ...sections }, { allowUnsupported: true }).derive();

test("global batch = local × replicate × shard × accumulation", () => {
  const all = derived({
    processes: { procs: 16 },
    parallelism: {
      data_parallel_replicate_degree: 2,
      tensor_parallel_degree: 2,
      pipeline_parallel_degree: 2,
    },
    training: { local_batch_size: 3, global_batch_size: 60, seq_len: 128 },
  });
  assert.deepEqual(all.degrees, { replicate: 2, shard: 2, context: 1, tensor: 2, pipeline: 2, expert: 1 });
  assert.equal(all.worldSize, 16);
  assert.equal(all.dataParallelSize, 4);
  assert.equal(all.accumulationSteps, 5);
  assert.equal(all.globalBatchSize, 3 * 2 * 2 * 5);
  assert.equal(all.positionsPerStep, 60 * 128);
});

test("without global_batch_size there is no accumulation", () => {
  const all = derived({ processes: { procs: 4 }, training: { local_batch_size: 2 } });
  assert.equal(all.accumulationSteps, 1);
  assert.equal(all.globalBatchSize, 8);
});

test("warm-up is cut to the steps of the run", () => {
  assert.equal(derived({ training: { steps: 5 }, lr_scheduler: { warmup_steps: 9 } }).warmupSteps, 5);
});

test("data sets come from either key", () => {
  const entry = { subset: null, split: "train", format: "auto", columns: {} };
  assert.deepEqual(derived({}).trainingDatasets, [{ path: "yahma/alpaca-cleaned", ...entry }]);
  assert.deepEqual(derived({ training: { dataset: "a.jsonl" } }).trainingDatasets, [
    { path: "a.jsonl", ...entry },
  ]);
  const list = [{ path: "a" }, { path: "b" }];
  assert.deepEqual(
    derived({ training: { datasets: list } }).trainingDatasets,
    list.map(({ path }) => ({ path, ...entry })),
  );
  assert.deepEqual(derived({}).evalDatasets, []);
});

test("splits", () => {
  assert.deepEqual(parseSplit("train"), { name: "train" });
  assert.deepEqual(parseSplit("train[:95%]"), { name: "train", to: { value: 95, unit: "percent" } });
  assert.deepEqual(parseSplit("test[-100:]"), { name: "test", from: { value: -100, unit: "rows" } });
  assert.deepEqual(parseSplit("a.b-c[1:2]"), {
    name: "a.b-c",
    from: { value: 1, unit: "rows" },
    to: { value: 2, unit: "rows" },
  });
  assert.throws(() => parseSplit("train[1]"), /not a split: train\[1\]/);
});
