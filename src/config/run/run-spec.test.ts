import assert from "node:assert/strict";
import { test } from "node:test";

import { Config } from "../config.ts";
import type { ConfigInput } from "../schema/schema.ts";
import { model } from "../testing.ts";

const specOf = (sections: ConfigInput) =>
  Config.create({ model, ...sections }, { allowUnsupported: true }).spec;

test("global batch = local × replicate × shard × accumulation", () => {
  const all = specOf({
    processes: { procs: 16 },
    parallelism: {
      data_parallel_replicate_degree: 2,
      tensor_parallel_degree: 2,
      pipeline_parallel_degree: 2,
    },
    training: { local_batch_size: 3, global_batch_size: 60, seq_len: 128 },
  });
  assert.deepEqual(all.degrees, {
    replicate: 2,
    shard: 2,
    context: 1,
    tensor: 2,
    pipeline: 2,
    expert: 1,
    expertTensor: 1,
  });
  assert.equal(all.worldSize, 16);
  assert.equal(all.dataParallelSize, 4);
  assert.equal(all.accumulationSteps, 5);
  assert.equal(all.globalBatchSize, 3 * 2 * 2 * 5);
  assert.equal(all.positionsPerStep, 60 * 128);
});

test("without global_batch_size there is no accumulation", () => {
  const all = specOf({ processes: { procs: 4 }, training: { local_batch_size: 2 } });
  assert.equal(all.accumulationSteps, 1);
  assert.equal(all.globalBatchSize, 8);
});

test("warm-up is cut to the steps of the run", () => {
  assert.equal(specOf({ training: { steps: 5 }, lr_scheduler: { warmup_steps: 9 } }).schedule.warmupSteps, 5);
});

test("data sets come from either key, and say which", () => {
  const entry = { subset: null, split: "train", format: "auto", columns: {}, stream: false };
  const datasets = (training: ConfigInput["training"]) => specOf({ training }).data.datasets;
  const key = "training.dataset";
  assert.deepEqual(datasets({}), []);
  assert.deepEqual(datasets({ dataset: "a.jsonl" }), [{ path: "a.jsonl", ...entry, key }]);
  assert.deepEqual(datasets({ datasets: [{ path: "a" }] }), [
    { path: "a", ...entry, key: "training.datasets" },
  ]);
  assert.deepEqual(
    datasets({ datasets: [{ path: "a" }, { path: "b" }] }),
    ["a", "b"].map((path, i) => ({ path, ...entry, key: `training.datasets[${i}]` })),
  );
  assert.deepEqual(datasets({ dataset: "org/rows", stream: true }), [
    { path: "org/rows", ...entry, stream: true, key },
  ]);
  // Names of torchtitan's stand for data sets of the hub, and are streamed.
  const c4 = { path: "allenai/c4", ...entry, subset: "en", stream: true };
  assert.deepEqual(datasets({ dataset: "c4" }), [{ ...c4, key }]);
  assert.deepEqual(datasets({ dataset: "c4_test" }), [{ ...c4, split: "train[:2000]", key }]);
  assert.deepEqual(specOf({ eval: { datasets: [{ path: "c4_validation" }] } }).evaluation.datasets, [
    { ...c4, split: "validation", key: "eval.datasets[0]" },
  ]);
  assert.equal(specOf({ training: { dataset: "c4" } }).data.onOverlong, "split");
  assert.equal(specOf({ training: { dataset: "c4", on_overlong: "truncate" } }).data.onOverlong, "truncate");
  assert.deepEqual(specOf({}).evaluation.datasets, []);
  assert.deepEqual(specOf({ eval: { datasets: [{ path: "a" }] } }).evaluation.datasets, [
    { path: "a", ...entry, key: "eval.datasets[0]" },
  ]);
});

test("the type that is computed in is the parameters' own, but for mixed precision", () => {
  const types = (dtype: "float32" | "bfloat16", mixed_precision_param: "float32" | "bfloat16") => {
    const spec = specOf({ training: { dtype, mixed_precision_param } });
    return [spec.dtype, spec.computeDtype];
  };
  assert.deepEqual(types("float32", "float32"), ["float32", "float32"]);
  assert.deepEqual(types("float32", "bfloat16"), ["float32", "bfloat16"]);
  assert.deepEqual(types("bfloat16", "float32"), ["bfloat16", "bfloat16"]);
});

test("parameters stay whole in a pipeline, unless the configuration says otherwise", () => {
  const reshards = (stages: number, asked: "default" | "always") =>
    specOf({
      processes: { procs: stages },
      parallelism: { pipeline_parallel_degree: stages, fsdp_reshard_after_forward: asked },
    }).reshardAfterForward;
  assert.equal(reshards(1, "default"), "default");
  assert.equal(reshards(2, "default"), "never");
  assert.equal(reshards(2, "always"), "always");
});

test("a configuration is resolved once, in camelCase, and for good", () => {
  const config = Config.create({ model, checkpoint: { keep_latest_k: 3 } });
  assert.equal(config.spec, config.spec);
  assert.equal(config.spec.checkpoint.keepLatestK, 3);
  assert.throws(() => Object.assign(config.spec.checkpoint, { keepLatestK: 4 }), TypeError);
  const names = (value: unknown): string[] =>
    typeof value === "object" && value !== null
      ? Object.entries(value).flatMap(([name, inner]) => [name, ...names(inner)])
      : [];
  assert.deepEqual(
    names(config.spec).filter((name) => name.includes("_")),
    [],
  );
});

test("comm.backend auto is nccl between GPUs and gloo between CPUs; gradients reduce once a step in a pipeline", () => {
  assert.equal(specOf({}).backend, "gloo");
  assert.equal(specOf({ processes: { with_gpus: true } }).backend, "nccl");
  assert.equal(specOf({ processes: { with_gpus: true }, comm: { backend: "gloo" } }).backend, "gloo");
  const pipeline = { processes: { procs: 4 }, parallelism: { pipeline_parallel_degree: 2 } } as const;
  const every = { fsdp_reduce_gradients: "every_pass" } as const;
  assert.deepEqual(
    [
      specOf({ processes: { procs: 4 } }),
      specOf(pipeline),
      specOf({ ...pipeline, parallelism: { ...pipeline.parallelism, ...every } }),
    ].map(({ reduceOnce }) => reduceOnce),
    [false, true, false],
  );
});
