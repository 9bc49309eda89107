// The trainer with a pipeline, from a configuration: its losses are those of one process over the same rows, it evaluates,
// resumes bit for bit, ends together, and its checkpoints move to other divisions and back.
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import type { TrainerResult } from "../../src/train/index.ts";
import type { Rank } from "../comm/launch.ts";
import { root } from "../programs.ts";
import {
  assertSameLosses,
  assertSameWeights,
  branch,
  exported,
  noted,
  shard,
  stepFolder,
  train as trainRun,
} from "./trainer-runs.ts";

const pipeline = ["parallelism.pipeline_parallel_degree=2", "parallelism.data_parallel_shard_degree=1"];

/** Two microbatches in a batch, so that the stages work at the same time. */
const train = (
  name: string,
  size: number,
  overrides: readonly string[],
  event = "",
  options = {},
): Promise<Rank[]> => trainRun(name, size, ["training.local_batch_size=2", ...overrides], event, options);

test(
  "a pipeline trains, evaluates, resumes, stops, fails and exports as one process",
  { timeout: 3_000_000 },
  async (t) => {
    const one = await train("one", 1, exported);
    const losses = noted<number[]>(one[0], "losses");
    const two = await train("two", 2, [...pipeline, ...exported]);

    await t.test("the losses are those of one process, also of the evaluation; rank 0 tells them", () => {
      assertSameLosses(noted(two[0], "losses"), losses);
      assertSameLosses(noted(two[0], "evals"), noted(one[0], "evals"));
      assert.equal(noted<TrainerResult>(two[0], "result").status, "finished");
      assert.deepEqual(noted(two[1], "losses"), []);
    });

    await t.test("the last save is one process's", () => {
      assert.deepEqual(
        readdirSync(stepFolder("two", 6)).filter((file) => file.endsWith(".safetensors")),
        ["model.safetensors"],
      );
      assertSameWeights("two", "one");
    });

    await t.test("all stop at the step at which one was told to, and resume bit for bit", async () => {
      for (const rank of await train("resumed", 2, pipeline, "stop@3")) {
        const { status, step } = noted<TrainerResult>(rank, "result");
        assert.deepEqual({ status, step }, { status: "stopped", step: 4 });
      }
      assert.deepEqual(
        readdirSync(stepFolder("resumed", 4)).filter((file) => file.endsWith(".safetensors")).length,
        4,
      );
      const resumed = await train("resumed", 2, pipeline, "", { anew: true });
      assert.deepEqual(noted(resumed[0], "losses"), noted<number[]>(two[0], "losses").slice(4));
    });

    await t.test("a loss that isn't finite ends all ranks at once", async () => {
      for (const rank of await train("failed", 2, pipeline, "nan@2"))
        assert.match(noted(rank, "error"), /^NonFiniteError: step 3: the loss is NaN/);
    });

    await t.test("shards that have unequal numbers of held-out rows evaluate them together", async () => {
      const data = (rows: number): string =>
        `eval.datasets=[{path: ${join(root, "data", "alpaca-python.jsonl")}, split: "train[:${rows}]"}]`;
      const steps = ["training.steps=2", "eval.eval_every_n_steps=1"];
      // Of the last batches a rank has a row less, or none.
      for (const rows of [5, 7]) {
        const expected = await train(`rows-${rows}-one`, 1, [...steps, data(rows)]);
        const options = ["parallelism.pipeline_parallel_degree=2", shard(2), ...steps, data(rows)];
        const found = await train(`rows-${rows}-four`, 4, options);
        assertSameLosses(noted(found[0], "evals"), noted(expected[0], "evals"));
      }
    });

    await t.test("checkpoints move between a pipeline, one process and shards", async () => {
      const moves = [
        ["pipeline-one", "two", [], 1],
        ["one-pipeline", "one", pipeline, 2],
        ["pipeline-shard", "two", [shard(2), "training.local_batch_size=1"], 2],
      ] as const;
      for (const [name, from, division, to] of moves) {
        branch(name, from, 3);
        const resumed = await train(name, to, [...division, ...exported]);
        assertSameLosses(noted(resumed[0], "losses"), losses.slice(3));
        assertSameWeights(name, "one");
      }
    });
  },
);
