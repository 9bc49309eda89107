import assert from "node:assert/strict";
import test from "node:test";

import { Config } from "../config/index.ts";
import { ParallelDims, type Degrees } from "./parallel-dims.ts";
import { sliceOfRank } from "./strategies/sharded-block.ts";

const one: Degrees = {
  pipeline: 1,
  replicate: 1,
  shard: 1,
  context: 1,
  tensor: 1,
  expert: 1,
  expertTensor: 1,
};

void test("ranks that differ in pipeline, context or tensor alone read the same data", () => {
  const dims = new ParallelDims({ ...one, pipeline: 2, replicate: 2, shard: 2, tensor: 2 }, 16);
  assert.deepEqual(dims.layout!.axes, ["pp", "dp_replicate", "dp_shard", "tp"]);
  const parts = Array.from({ length: 16 }, (_, rank) => dims.dataPart(rank));
  assert.deepEqual(
    parts.map(({ rank }) => rank),
    [0, 0, 1, 1, 2, 2, 3, 3, 0, 0, 1, 1, 2, 2, 3, 3],
  );
  assert.ok(parts.every(({ worldSize }) => worldSize === 4));
});

void test("one process has no grid", () => {
  const dims = new ParallelDims(one, 1);
  assert.equal(dims.layout, undefined);
  assert.deepEqual(dims.dataPart(0), { rank: 0, worldSize: 1 });
});

void test("-1 takes what the other degrees leave", () => {
  const config = Config.create(
    {
      model: { hf_assets_path: "m" },
      processes: { procs: 8 },
      parallelism: { data_parallel_replicate_degree: 2 },
    },
    { allowUnsupported: true },
  );
  const { degrees, worldSize } = ParallelDims.of(config.spec);
  assert.deepEqual(degrees, { ...one, replicate: 2, shard: 4 });
  assert.equal(worldSize, 8);
});

void test("degrees that don't make up the ranks are refused with the equation", () => {
  assert.throws(() => new ParallelDims({ ...one, replicate: 2, shard: 2 }, 8), {
    name: "UserError",
    message:
      "pp 1 x dp_replicate 2 x dp_shard 2 x cp 1 x tp 1 = 4 ranks, and the run has 8; change processes.procs or a degree of parallelism, or set parallelism.data_parallel_shard_degree to -1 to take what is left",
  });
});

void test("a model that can't be divided so is refused with every sum", () => {
  const model = {
    numLayers: 3,
    numHeads: 9,
    numKvHeads: 3,
    intermediateSize: 1536,
    vocabSize: 49152,
    moe: { numExperts: 6, intermediateSize: 768, auxLossCoef: 0, layers: [true, false, true] },
  };
  new ParallelDims({ ...one, tensor: 3, pipeline: 3, expert: 3 }, 9).checkModel(model);
  assert.throws(
    () => new ParallelDims({ ...one, tensor: 2, pipeline: 2, expert: 4 }, 4).checkModel(model, 2),
    {
      name: "UserError",
      message: [
        "parallelism.tensor_parallel_degree (2) must divide the model's attention heads (9): 9 / 2 = 4.5",
        "parallelism.tensor_parallel_degree (2) must divide the model's key and value heads (3): 3 / 2 = 1.5",
        "Heads are not copied, and nothing is padded: for this model parallelism.tensor_parallel_degree can be 1, 3",
        "parallelism.pipeline_parallel_degree (2) x 2 stages a rank = 4 stages, and the model has 3 layers",
        "parallelism.expert_parallel_degree (4) must divide the model's experts (6): 6 / 4 = 1.5",
      ].join("\n"),
    },
  );
  const few = { ...model, numHeads: 8, numKvHeads: 2 };
  assert.throws(() => new ParallelDims({ ...one, tensor: 4 }, 4).checkModel(few), {
    message: [
      "parallelism.tensor_parallel_degree (4) must divide the model's key and value heads (2): 2 / 4 = 0.5",
      "Heads are not copied, and nothing is padded: for this model parallelism.tensor_parallel_degree can be 1, 2",
    ].join("\n"),
  });
  assert.throws(
    () => new ParallelDims({ ...one, expert: 2 }, 1).checkModel({ ...model, moe: undefined }),
    /expert_parallel_degree \(2\) needs a mixture-of-experts model/,
  );
  const moe = { numExperts: 6, intermediateSize: 33, layers: [true, true, true] };
  assert.throws(
    () => new ParallelDims({ ...one, tensor: 9 }, 9).checkModel({ ...model, numKvHeads: 9, moe }),
    /must divide the model's experts' feed-forward size \(33\): 33 \/ 9 = 3\.667/,
  );
  // Whole experts needn't divide.
  const odd = { ...model, moe: { ...moe, intermediateSize: 32 } };
  const tensor = { ...one, tensor: 3, expert: 3 };
  new ParallelDims(tensor, 3).checkModel(odd);
  assert.throws(
    () => new ParallelDims({ ...tensor, expertTensor: 3 }, 3).checkModel(odd),
    /must divide the model's experts' feed-forward size \(32\)/,
  );
});

void test("rows are divided in equal chunks, of which the last may be short or empty", () => {
  const rows = (count: number, ranks: number): [number, number][] =>
    Array.from({ length: ranks }, (_, rank) => {
      const { start, length } = sliceOfRank(count, rank, ranks);
      return [start, length];
    });
  assert.deepEqual(rows(8, 4), [
    [0, 2],
    [2, 2],
    [4, 2],
    [6, 2],
  ]);
  assert.deepEqual(rows(5, 4), [
    [0, 2],
    [2, 2],
    [4, 1],
    [5, 0],
  ]);
  assert.deepEqual(rows(1, 3), [
    [0, 1],
    [1, 0],
    [1, 0],
  ]);
});
