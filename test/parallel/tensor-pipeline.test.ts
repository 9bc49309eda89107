// Tensor and pipeline parallelism together: number by number against one process (see ranks/tensor-pipeline.ts), and the
// trainer from a configuration, whose checkpoints move to other divisions.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { assertPassed, launch } from "../comm/launch.ts";
import {
  assertSameLosses,
  assertSameWeights,
  exported,
  noted,
  shard,
  tensorsAt,
  train,
} from "./trainer-runs.ts";

test("stages of divided layers train as one process", { timeout: 1_600_000 }, async (t) => {
  const script = join(import.meta.dirname, "ranks", "tensor-pipeline");
  await assertPassed(t, await launch(script, 4, { limitSeconds: 1500 }));
});

test("the trainer, with checkpoints to and from other divisions", { timeout: 3_000_000 }, async (t) => {
  const both = ["parallelism.pipeline_parallel_degree=2", "parallelism.tensor_parallel_degree=2"];
  const options = ["training.local_batch_size=2"];
  const one = await train("one", 1, [...options, ...exported]);
  const losses = noted<number[]>(one[0], "losses");
  const four = await train("four", 4, [...options, ...both]);

  await t.test("losses and evaluations are those of one process", () => {
    assertSameLosses(noted(four[0], "losses"), losses);
    assertSameLosses(noted(four[0], "evals"), noted(one[0], "evals"));
  });

  await t.test("a stopped run resumes bit for bit", async () => {
    await train("stopped", 4, [...options, ...both], "stop@3");
    assert.equal(
      [...tensorsAt("stopped", 4).keys()].filter((file) => file.includes("-model-")).length,
      4,
      "a file a rank",
    );
    const resumed = await train("stopped", 4, [...options, ...both]);
    assert.deepEqual(noted(resumed[0], "losses"), noted<number[]>(four[0], "losses").slice(4));
    assert.deepEqual(tensorsAt("stopped", 6), tensorsAt("four", 6));
  });

  await t.test(
    "two shards resume it, and it resumes two shards: both export what one process does",
    async () => {
      await train("to-shards", 4, [...options, ...both], "stop@3");
      const resumed = await train("to-shards", 2, [shard(2), ...exported]);
      assertSameLosses(noted(resumed[0], "losses"), losses.slice(4));
      assertSameWeights("to-shards", "one");
      await train("from-shards", 2, [shard(2)], "stop@3");
      const divided = await train("from-shards", 4, [...options, ...both, ...exported]);
      assertSameLosses(noted(divided[0], "losses"), losses.slice(4));
      assertSameWeights("from-shards", "one");
    },
  );
});
