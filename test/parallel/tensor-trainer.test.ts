// The trainer with tensor parallelism, from a configuration: losses and evaluation of one process, resuming bit for bit, and
// checkpoints that move between divisions of every kind. What one process, sharding and replicas do is in trainer.test.ts.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { SpawnActor } from "../../src/actors/index.ts";
import { Config } from "../../src/config/index.ts";
import { openSafetensors } from "../../src/safetensors/index.ts";
import { TrainerActor } from "../../src/train/actors/index.ts";
import type { TrainerResult } from "../../src/train/index.ts";
import { launch, type Rank } from "../comm/launch.ts";
import {
  assertSameLosses,
  assertSameWeights,
  branch,
  configFile,
  exported,
  noted,
  script,
  shard,
  stepFolder,
  tensorsAt,
  train,
} from "./trainer-runs.ts";

const tensor = (size: number): string => `parallelism.tensor_parallel_degree=${size}`;

test(
  "tensor: two ranks train, evaluate, save, resume and fail together",
  { timeout: 3_000_000 },
  async (t) => {
    const one = await train("one", 1, exported, "", { anew: true });
    const two = await train("two", 2, [tensor(2)], "", { anew: true });
    const losses = noted<number[]>(one[0], "losses");

    await t.test("the losses are those of one process, also of the evaluation", () => {
      assertSameLosses(noted(two[0], "losses"), losses);
      assertSameLosses(noted(two[0], "evals"), noted(one[0], "evals"));
      assert.equal(noted<TrainerResult>(two[0], "result").status, "finished");
      assert.deepEqual(noted(two[1], "losses"), []);
    });

    await t.test("each rank loads, keeps and saves about half", () => {
      const files = tensorsAt("two", 6);
      assert.deepEqual(
        [...files.keys()],
        ["model", "optimizer"]
          .flatMap((group) => [1, 2].map((rank) => `shard-0000${rank}-${group}-00001-of-00001.safetensors`))
          .sort(),
      );
      const sizes = [...files.values()].map(({ length }) => length);
      for (const group of [0, 1]) {
        const [first, second] = [sizes[group]!, sizes[group + 2]!];
        assert.ok(Math.abs(first - second) < 0.05 * first, sizes.join(" "));
      }
      const memory = (ranks: Rank[]) => noted<{ currentBytes: number }>(ranks[0], "memory").currentBytes;
      assert.ok(memory(two) < 0.55 * memory(one), `${memory(two)} and ${memory(one)} bytes`);
    });

    await t.test("a stopped run resumes bit for bit", async () => {
      await train("stopped", 2, [tensor(2)], "stop@3");
      const resumed = await train("stopped", 2, [tensor(2)], "", { anew: true });
      assert.deepEqual(noted(resumed[0], "losses"), noted<number[]>(two[0], "losses").slice(4));
      assert.deepEqual(tensorsAt("stopped", 6), tensorsAt("two", 6));
    });

    await t.test("mixed precision, full checkpointing and gathered logits", async () => {
      const options = [
        "training.mixed_precision_param=bfloat16",
        "activation_checkpoint.mode=full",
        "checkpoint.enable=false",
      ];
      const expected = await train("mixed-one", 1, options);
      const found = await train("mixed-two", 2, [
        ...options,
        tensor(2),
        "parallelism.disable_loss_parallel=true",
      ]);
      assertSameLosses(noted(found[0], "losses"), noted(expected[0], "losses"), 2e-3);
    });

    await t.test("a loss that isn't finite ends all ranks at once", async () => {
      const failed = await train("failed", 2, [tensor(2)], "nan@2");
      for (const rank of failed)
        assert.match(noted(rank, "error"), /^NonFiniteError: step 3: the loss is NaN/);
    });

    for (const [from, size, to, otherSize, done] of [
      [tensor(2), 2, shard(1), 1, "two"],
      [tensor(2), 2, shard(2), 2, "two"],
      [shard(2), 2, tensor(2), 2, undefined],
      [tensor(2), 4, shard(1), 1, undefined],
      [shard(1), 1, tensor(2), 4, "one"],
    ] as const) {
      const name = `${from}-${size}-${to}-${otherSize}`.replaceAll("parallelism.", "").replaceAll("=", "-");
      await t.test(`a checkpoint moves from ${size} ranks, ${from}, to ${otherSize}, ${to}`, async () => {
        if (done === undefined) await train(name, size, [from], "stop@2");
        else branch(name, done, 3);
        const resumed = await train(name, otherSize, [to, ...exported]);
        assertSameLosses(noted(resumed[0], "losses"), losses.slice(3));
        assertSameWeights(name, "one");
      });
    }

    await t.test("replicas of a divided model save it once, also in the background", async () => {
      const replicas = ["parallelism.data_parallel_replicate_degree=2", "checkpoint.interval=1"];
      for (const [kind, divided] of [
        ["tensor", tensor(2)],
        ["pipeline", "parallelism.pipeline_parallel_degree=2"],
      ] as const) {
        const atOnce = `replicas-${kind}`;
        const options = [divided, ...replicas];
        await train(atOnce, 4, options);
        const name = `${atOnce}-async`;
        await train(name, 4, [...options, "checkpoint.async_mode=async"]);
        for (let step = 1; step <= 6; step++) {
          assert.deepEqual(readdirSync(stepFolder(name, step)), readdirSync(stepFolder(atOnce, step)));
          assert.deepEqual(tensorsAt(name, step), tensorsAt(atOnce, step));
        }
      }
    });

    await t.test("a damaged part of some columns is found", async () => {
      const file = "shard-00002-model-00001-of-00001.safetensors";
      const path = join(stepFolder("stopped", 6), file);
      const name = "model.layers.1.self_attn.o_proj.weight";
      const bytes = readFileSync(path);
      using opened = openSafetensors(path);
      bytes[opened.info(name).offset + 5]! ^= 1;
      writeFileSync(path, bytes);
      const args = [
        configFile(),
        "",
        "job.name=stopped",
        "processes.procs=1",
        "training.packed=false",
        "training.steps=7",
      ];
      const [rank] = await launch(script, 1, { args, limitSeconds: 900 });
      assert.equal(rank!.code, 1);
      assert.ok(rank!.stderr.includes(`${file}: damaged: bytes 0 to `), rank!.stderr);
    });
  },
);

test("a model that can't be divided so is refused before any process starts", async () => {
  const four = Config.fromYaml(configFile(), { overrides: ["processes.procs=4", tensor(4)] });
  const spawner = new SpawnActor(TrainerActor, four);
  await assert.rejects(spawner.spawn(), {
    name: "UserError",
    message: [
      "parallelism.tensor_parallel_degree (4) must divide the model's key and value heads (2): 2 / 4 = 0.5",
      "Heads are not copied, and nothing is padded: for this model parallelism.tensor_parallel_degree can be 1, 2",
    ].join("\n"),
  });
  assert.deepEqual(spawner.pids, []);
  assert.throws(
    () =>
      Config.fromYaml(configFile(), { overrides: ["processes.procs=2", tensor(2), "training.seq_len=255"] }),
    {
      message:
        /training\.seq_len \(255\) must be a multiple of parallelism\.tensor_parallel_degree \(2\) .* = 2; the nearest is 256/,
    },
  );
});
