// The trainer with experts divided among ranks, from a configuration: losses and evaluation of one process, resuming bit for
// bit, mixed precision, and checkpoints that move between divisions. Micro-batches are of one row in every division, over
// which the routers' balance is computed.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";

import { SpawnActor } from "../../src/actors/index.ts";
import { Config } from "../../src/config/index.ts";
import { openSafetensors } from "../../src/safetensors/index.ts";
import { TrainerActor } from "../../src/train/actors/index.ts";
import type { TrainerResult } from "../../src/train/index.ts";
import type { Rank } from "../comm/launch.ts";
import { makeTinyModel, tinyExperts } from "../train/tiny.ts";
import {
  assertSameLosses,
  assertSameWeights,
  branch,
  configFile,
  exported,
  noted,
  placeOf,
  shard,
  stepFolder,
  tensorsAt,
  train as trainRun,
} from "./trainer-runs.ts";
import { join } from "node:path";

const experts = (degree: number): string => `parallelism.expert_parallel_degree=${degree}`;
const tensor = (degree: number): string => `parallelism.tensor_parallel_degree=${degree}`;
const pipeline = (degree: number): string => `parallelism.pipeline_parallel_degree=${degree}`;
/** A part of each expert on each tensor rank. */
const parts = (degree: number): string => `parallelism.expert_tensor_parallel_degree=${degree}`;
const model = (): string => {
  const folder = placeOf("experts");
  return `model.hf_assets_path=${existsSync(folder) ? folder : makeTinyModel(folder, tinyExperts)}`;
};
const train = (
  name: string,
  size: number,
  overrides: readonly string[] = [],
  event = "",
  options = {},
): Promise<Rank[]> => trainRun(name, size, [model(), ...overrides], event, options);

test(
  "experts: ranks train, evaluate, save, resume and export together",
  { timeout: 3_000_000 },
  async (t) => {
    const one = await train("one", 1, exported);
    const two = await train("two", 2, [experts(2)]);
    const losses = noted<number[]>(one[0], "losses");

    await t.test("the losses are those of one process, also of the evaluation", () => {
      assertSameLosses(noted(two[0], "losses"), losses);
      assertSameLosses(noted(two[0], "evals"), noted(one[0], "evals"));
      assert.equal(noted<TrainerResult>(two[0], "result").status, "finished");
    });

    await t.test("each rank saves its experts, and its rows of the rest", () => {
      for (const rank of [0, 1]) {
        const file = `shard-0000${rank + 1}-model-00001-of-00001.safetensors`;
        using opened = openSafetensors(join(stepFolder("two", 6), file));
        const found = new Set(
          opened.names.map((name) => /\.experts\.(\d+)\./.exec(name)?.[1]).filter((one) => one !== undefined),
        );
        assert.deepEqual([...found].sort(), rank === 0 ? ["0", "1"] : ["2", "3"]);
        assert.deepEqual(opened.info("model.layers.0.mlp.gate.weight").shape, [2, 16]);
      }
    });

    await t.test("a stopped run resumes bit for bit", async () => {
      await train("stopped", 2, [experts(2)], "stop@3");
      const resumed = await train("stopped", 2, [experts(2)], "", { anew: true });
      assert.deepEqual(noted(resumed[0], "losses"), noted<number[]>(two[0], "losses").slice(4));
      assert.deepEqual(tensorsAt("stopped", 6), tensorsAt("two", 6));
    });

    await t.test("mixed precision", async () => {
      const options = ["training.mixed_precision_param=bfloat16", "checkpoint.enable=false"];
      const expected = await train("mixed-one", 1, options);
      const found = await train("mixed-two", 2, [...options, experts(2)]);
      assertSameLosses(noted(found[0], "losses"), noted(expected[0], "losses"), 2e-3);
    });

    for (const [from, size, to, otherSize, done] of [
      [[experts(2)], 2, [], 1, "two"],
      [[], 1, [experts(2)], 4, "one"],
      [[experts(4)], 4, [shard(2)], 2, undefined],
      // Whole experts on tensor ranks: one each, then two each.
      [[tensor(2), experts(4)], 4, [tensor(2), experts(2)], 2, undefined],
    ] as const) {
      const name = `${from.join()}-${size}-${to.join()}-${otherSize}`.replaceAll(/parallelism\.|=/g, "");
      await t.test(
        `a checkpoint moves from ${size} ranks, ${from.join()}, to ${otherSize}, ${to.join()}`,
        async () => {
          if (done === undefined) await train(name, size, from, "stop@2");
          else branch(name, done, 3);
          const resumed = await train(name, otherSize, [...to, ...exported]);
          assertSameLosses(noted(resumed[0], "losses"), losses.slice(3));
          assertSameWeights(name, "one");
        },
      );
    }

    // Three steps of a run are done again from its checkpoint.
    for (const [name, division] of [
      ["pipeline", [pipeline(2), experts(2)]],
      ["parts", [tensor(2), experts(2), parts(2)]],
    ] as const) {
      await t.test(
        `4 ranks, ${division.join()}: the losses of one process, resumed bit for bit`,
        async () => {
          const whole = await train(name, 4, division);
          assertSameLosses(noted(whole[0], "losses"), losses);
          assertSameLosses(noted(whole[0], "evals"), noted(one[0], "evals"));
          branch(`${name}-again`, name, 3);
          const resumed = await train(`${name}-again`, 4, division, "", { anew: true });
          assert.deepEqual(noted(resumed[0], "losses"), noted<number[]>(whole[0], "losses").slice(3));
          assert.deepEqual(tensorsAt(`${name}-again`, 6), tensorsAt(name, 6));
        },
      );
    }

    const cut = "parallelism.context_parallel_degree=2";
    for (const [name, ...legs] of [
      ["there", [4, [experts(2), shard(4)]], [2, [tensor(2)]], [2, [pipeline(2)]], [1, []]],
      [
        "back",
        [1, []],
        [4, [pipeline(2), experts(2)]],
        [4, [tensor(2), experts(2), parts(2)]],
        [4, [cut, experts(2)]],
      ],
    ] as const) {
      const way = legs.map(([size, division]) => `${size} (${division.join()})`).join(", ");
      await t.test(`a checkpoint moves from division to division: ${way}`, async () => {
        const found: number[] = [];
        for (const [i, [size, division]] of legs.entries()) {
          const isLast = i === legs.length - 1;
          const ranks = await train(
            name,
            size,
            isLast ? [...division, ...exported] : division,
            isLast ? "" : `stop@${i}`,
          );
          found.push(...noted<number[]>(ranks[0], "losses"));
        }
        assertSameLosses(found, losses);
        assertSameWeights(name, "one");
      });
    }
  },
);

test("experts that can't be divided so are refused before any process starts", async () => {
  const config = (procs: number, ...overrides: string[]) =>
    Config.fromYaml(configFile(), { overrides: [model(), `processes.procs=${procs}`, ...overrides] });
  const spawner = new SpawnActor(TrainerActor, config(3, experts(3), "training.global_batch_size=6"));
  await assert.rejects(spawner.spawn(), {
    name: "UserError",
    message: "parallelism.expert_parallel_degree (3) must divide the model's experts (4): 4 / 3 = 1.333",
  });
  assert.deepEqual(spawner.pids, []);
  assert.throws(() => config(2, experts(4)), {
    message:
      /parallelism\.expert_parallel_degree \(4\) must divide parallelism\.data_parallel_shard_degree \(2\) × parallelism\.context_parallel_degree \(1\) = 2/,
  });
});
