// The trainer with context parallelism, from a configuration: losses and evaluation of one process, resuming bit for bit, and
// checkpoints that move to one process and back. Every division of rows against one process is in context.test.ts.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Config } from "../../src/config/index.ts";
import type { TrainerResult } from "../../src/train/index.ts";
import type { Rank } from "../comm/launch.ts";
import {
  assertSameLosses,
  assertSameWeights,
  branch,
  configFile,
  exported,
  noted,
  tensorsAt,
  train,
} from "./trainer-runs.ts";

const context = ["parallelism.context_parallel_degree=2"];
const ring = [...context, "parallelism.context_parallel_rotate_method=alltoall"];

test(
  "context: two ranks train, evaluate, save, resume and fail together",
  { timeout: 3_000_000 },
  async (t) => {
    const one = await train("one", 1, exported, "", { anew: true });
    const two = await train("two", 2, context, "", { anew: true });
    const losses = noted<number[]>(one[0], "losses");

    await t.test("the losses are those of one process, also of the evaluation", () => {
      assertSameLosses(noted(two[0], "losses"), losses);
      assertSameLosses(noted(two[0], "evals"), noted(one[0], "evals"));
      assert.equal(noted<TrainerResult>(two[0], "result").status, "finished");
      assert.deepEqual(noted(two[1], "losses"), []);
    });

    await t.test("weights and moments are divided, too", () => {
      const memory = (ranks: Rank[]) => noted<{ currentBytes: number }>(ranks[0], "memory").currentBytes;
      assert.ok(memory(two) < 0.55 * memory(one), `${memory(two)} and ${memory(one)} bytes`);
    });

    await t.test("a stopped run resumes bit for bit", async () => {
      await train("stopped", 2, context, "stop@3");
      const resumed = await train("stopped", 2, context, "", { anew: true });
      assert.deepEqual(noted(resumed[0], "losses"), noted<number[]>(two[0], "losses").slice(4));
      assert.deepEqual(tensorsAt("stopped", 6), tensorsAt("two", 6));
    });

    await t.test("a checkpoint of a ring resumes in one process, and one's in a ring", async () => {
      await train("ring-one", 2, ring, "stop@2");
      branch("one-ring", "one", 3);
      for (const [name, division, size] of [
        ["ring-one", [], 1],
        ["one-ring", ring, 2],
      ] as const) {
        const resumed = await train(name, size, [...division, ...exported]);
        assertSameLosses(noted(resumed[0], "losses"), losses.slice(3));
        assertSameWeights(name, "one");
      }
    });

    await t.test("packed rows, mixed precision and full checkpointing", async () => {
      const options = [
        "training.packed=true",
        "training.mixed_precision_param=bfloat16",
        "activation_checkpoint.mode=full",
        "checkpoint.enable=false",
      ];
      const expected = await train("mixed-one", 1, options);
      for (const [name, method] of [
        ["mixed-gather", context],
        ["mixed-ring", ring],
      ] as const) {
        const found = await train(name, 2, [...options, ...method]);
        assertSameLosses(noted(found[0], "losses"), noted(expected[0], "losses"), 2e-3);
        assertSameLosses(noted(found[0], "evals"), noted(expected[0], "evals"), 2e-3);
      }
    });

    await t.test("a loss that isn't finite ends all ranks at once, and names its rows once", async () => {
      const messages: string[] = [];
      for (const rank of await train("failed", 2, context, "nan@2")) messages.push(noted(rank, "error"));
      assert.match(messages[0]!, /^NonFiniteError: step 3: the loss is NaN/);
      assert.equal(messages[0], messages[1]);
    });
  },
);

test("a sequence that can't be cut so is refused with the equation", () => {
  const overrides = ["processes.procs=2", ...context, "training.seq_len=254"];
  assert.throws(() => Config.fromYaml(configFile(), { overrides }), {
    message:
      /training\.seq_len \(254\) must be a multiple of parallelism\.tensor_parallel_degree \(1\) × 2 × parallelism\.context_parallel_degree \(2\) = 4; the nearest is 256/,
  });
});
