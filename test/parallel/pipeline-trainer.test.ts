// The trainer with a pipeline, from a configuration: its losses are those of one process over the same rows, it evaluates,
// resumes bit for bit, ends together, and its checkpoints move to other divisions and back.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { openModelWeights } from "../../src/safetensors/index.ts";
import type { TrainerResult } from "../../src/train/index.ts";
import { launch, type Rank } from "../comm/launch.ts";
import { root } from "../programs.ts";
import { makeTinyConfig, makeTinyModel } from "../train/tiny.ts";

const script = join(import.meta.dirname, "ranks", "train");
const pipeline = ["parallelism.pipeline_parallel_degree=2", "parallelism.data_parallel_shard_degree=1"];
const shard = ["parallelism.data_parallel_shard_degree=2"];
const exported = ["checkpoint.last_save_model_only=true", "checkpoint.last_save_in_hf=true"];
let work = "";
let config = "";
before(() => {
  work = mkdtempSync(join(tmpdir(), "torchforge-pipeline-"));
  config = makeTinyConfig(work, makeTinyModel(join(work, "model")), 6);
});
after(() => rmSync(work, { recursive: true, force: true }));

/** Four rows a step however the ranks are divided: see trainer.test.ts. */
async function train(name: string, size: number, overrides: readonly string[], event = ""): Promise<Rank[]> {
  const args = [
    config,
    event,
    `job.name=${name}`,
    `processes.procs=${size}`,
    "training.packed=false",
    "training.seq_len=256",
    "training.local_batch_size=2",
    "training.global_batch_size=4",
    "optimizer.eps=1e-4",
    `eval.datasets=[{path: ${join(root, "data", "alpaca-python.jsonl")}, split: "train[:7]"}]`,
    ...overrides,
  ];
  const ranks = await launch(script, size, { args, limitSeconds: 900 });
  for (const { rank, code, stderr } of ranks) assert.equal(code, 0, `rank ${rank}: ${stderr}`);
  return ranks;
}

const noted = <T>(rank: Rank | undefined, name: string): T => rank!.notes.get(name) as T;
const stepFolder = (name: string, step: number): string =>
  join(work, "outputs", name, "checkpoint", `step-${step}`);

// float32: see trainer.test.ts.
function assertClose(found: readonly number[], expected: readonly number[]): void {
  assert.equal(found.length, expected.length);
  for (const [i, loss] of expected.entries())
    assert.ok(
      Math.abs(found[i]! - loss) < 1e-5 * loss,
      `step ${i + 1}: ${found.join(" ")} and ${expected.join(" ")}`,
    );
}

function assertSameWeights(name: string, expectedName: string): void {
  using found = openModelWeights(stepFolder(name, 6));
  using expected = openModelWeights(stepFolder(expectedName, 6));
  assert.deepEqual(found.names, expected.names);
  const values = (bytes: Uint8Array) => new Float32Array(bytes.buffer);
  for (const tensor of expected.names) {
    assert.deepEqual(found.info(tensor), expected.info(tensor));
    const whole = values(expected.read(tensor));
    for (const [i, value] of values(found.read(tensor)).entries())
      if (Math.abs(value - whole[i]!) > 1e-6) assert.fail(`${tensor}[${i}]: ${value} and ${whole[i]}`);
  }
}

test(
  "a pipeline trains, evaluates, resumes, stops, fails and exports as one process",
  { timeout: 3_000_000 },
  async (t) => {
    const one = await train("one", 1, exported);
    const losses = noted<number[]>(one[0], "losses");
    const two = await train("two", 2, [...pipeline, ...exported]);

    await t.test("the losses are those of one process, also of the evaluation; rank 0 tells them", () => {
      assertClose(noted(two[0], "losses"), losses);
      assertClose(noted(two[0], "evals"), noted(one[0], "evals"));
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
      const resumed = await train("resumed", 2, pipeline);
      assert.deepEqual(noted(resumed[0], "losses"), noted<number[]>(two[0], "losses").slice(4));
    });

    await t.test("a loss that isn't finite ends all ranks at once", async () => {
      for (const rank of await train("failed", 2, pipeline, "nan@2"))
        assert.match(noted(rank, "error"), /^NonFiniteError: step 3: the loss is NaN/);
    });

    await t.test("checkpoints move between a pipeline, one process and shards", async () => {
      const moves = [
        ["pipeline-one", pipeline, 2, [], 1],
        ["one-pipeline", [], 1, pipeline, 2],
        ["pipeline-shard", pipeline, 2, [...shard, "training.local_batch_size=1"], 2],
      ] as const;
      for (const [name, before_, from, after_, to] of moves) {
        await train(name, from, before_, "stop@3");
        const resumed = await train(name, to, [...after_, ...exported]);
        assertClose(noted(resumed[0], "losses"), losses.slice(4));
        assertSameWeights(name, "one");
      }
    });
  },
);
