// Optimizer states of fewer bits and updates during backward, in several ranks from a configuration: the losses are those of one
// process, runs resume bit for bit, and checkpoints hold the states of every division.
import assert from "node:assert/strict";
import { test } from "node:test";

import { openShardFiles, openSafetensors } from "../../src/safetensors/index.ts";
import { assertSameLosses, noted, script, configFile, stepFolder, tensorsAt, train } from "./trainer-runs.ts";
import { launch, type Rank } from "../comm/launch.ts";

const int8 = ["optimizer.state_dtype=int8", "optimizer.lr=1e-3"];
const bfloat16 = [
  "optimizer.state_dtype=bfloat16",
  "optimizer.stochastic_rounding=true",
  "training.seed=4",
  "optimizer.lr=1e-3",
];
const divisions = {
  replicate: ["parallelism.data_parallel_replicate_degree=2"],
  shard: ["parallelism.data_parallel_shard_degree=2"],
  tensor: ["parallelism.tensor_parallel_degree=2"],
  pipeline: ["parallelism.pipeline_parallel_degree=2"],
};
const states = { int8, bfloat16 };
const losses = (ranks: readonly Rank[]): number[] =>
  ranks.map((rank) => noted<number[]>(rank, "losses")).find((list) => list.length > 0)!;

for (const [state, names] of [
  ["int8", ["shard", "tensor"]],
  ["bfloat16", ["replicate", "pipeline"]],
] as const) {
  test(`${state} moments`, { timeout: 3_000_000 }, async (t) => {
    const options = states[state];
    const one = await train(`${state}-one`, 1, options);
    for (const name of names) {
      await t.test(name, async () => {
        const all = [...divisions[name], ...options];
        const two = await train(`${state}-${name}`, 2, all);
        // A moment beside a border of two codes, or of two bfloat16s, may fall to either side, and is then off by a hundredth.
        assertSameLosses(losses(two), losses(one), 2e-3);
        const stopped = await train(`${state}-${name}-resumed`, 2, all, "stop@3");
        assert.equal(losses(stopped).length, 4);
        const resumed = await train(`${state}-${name}-resumed`, 2, all, "", { anew: true });
        assert.deepEqual(losses(resumed), losses(two).slice(4));
        const files = tensorsAt(`${state}-${name}`, 6);
        for (const [file, bytes] of tensorsAt(`${state}-${name}-resumed`, 6))
          assert.ok(bytes.equals(files.get(file)!), file);
      });
    }
  });
}

test(
  "codes move between divisions whose rows are the same, and no others",
  { timeout: 3_000_000 },
  async () => {
    const options = states.int8;
    const run = async (
      name: string,
      size: number,
      degrees: readonly string[],
      steps: number,
    ): Promise<Rank[]> => await train(name, size, [...degrees, ...options, `training.steps=${steps}`]);
    await run("moved", 2, divisions.shard, 3);
    const [scales] = [openShardFiles(stepFolder("moved", 3), "optimizer")];
    assert.equal(scales.info("model.layers.0.mlp.down_proj.weight.exp_avg_scale").dtype, "F32");
    assert.deepEqual(scales.info("model.layers.0.mlp.down_proj.weight.exp_avg_scale").shape, [16, 1]);
    assert.equal(scales.info("model.layers.0.mlp.down_proj.weight.exp_avg").dtype, "I8");
    assert.equal(scales.info("model.layers.0.input_layernorm.weight.exp_avg").dtype, "F32");
    scales[Symbol.dispose]();
    // Rows are whole in one process, too.
    await run("moved", 1, [], 6);
    using whole = openSafetensors(`${stepFolder("moved", 6)}/optimizer.safetensors`);
    assert.deepEqual(whole.info("model.layers.0.mlp.down_proj.weight.exp_avg_scale").shape, [16, 1]);
    // Of tensor ranks each has half of a row of down_proj, with a scale of its own.
    const args = [configFile(), "", "job.name=moved", "processes.procs=2", "training.packed=false"];
    const more = [
      "training.seq_len=256",
      "training.local_batch_size=1",
      "training.global_batch_size=4",
      "optimizer.eps=1e-4",
    ];
    const ranks = await launch(script, 2, {
      args: [...args, ...more, ...divisions.tensor, ...options, "training.steps=8"],
      limitSeconds: 900,
    });
    assert.match(
      ranks.map(({ stderr }) => stderr).join(""),
      /the optimizer in this checkpoint is not the one of this run\. Resume with the configuration that it was saved with[^]*down_proj\.weight\.exp_avg_scale: expected F32 \[16, 2\], found F32 \[16, 1\]/,
    );
  },
);

test(
  "updates during backward are those after it, bit for bit, where nothing is clipped",
  { timeout: 3_000_000 },
  async (t) => {
    const whole = [
      "training.global_batch_size=-1",
      "training.local_batch_size=2",
      "training.max_norm=null",
      "optimizer.lr=1e-3",
    ];
    const early = [...whole, "optimizer.in_backward=true"];
    for (const name of ["shard", "tensor"] as const) {
      await t.test(name, async () => {
        const degrees = divisions[name];
        const after = await train(`after-${name}`, 2, [...degrees, ...whole]);
        const during = await train(`during-${name}`, 2, [...degrees, ...early]);
        assert.deepEqual(losses(during), losses(after));
        const files = tensorsAt(`after-${name}`, 6);
        for (const [file, bytes] of tensorsAt(`during-${name}`, 6))
          assert.ok(bytes.equals(files.get(file)!), file);
      });
    }
  },
);
