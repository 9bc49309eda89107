// Where checkpoint.initial_load_path may lead: a step's folder by the guide's name of it, or the folder of a run's checkpoints.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { Config } from "../../src/config/index.ts";
import { TrainerActor } from "../../src/train/actors/index.ts";
import { Trainer } from "../../src/train/index.ts";
import { makeTinyConfig, makeTinyModel } from "./tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "torchforge-initial-load-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const path = makeTinyConfig(folder, makeTinyModel(join(folder, "model")), 6);

test("a run goes on from step_2, and from the latest of a folder of checkpoints", async () => {
  const first = await Trainer.create(
    Config.fromYaml(path, { overrides: ["job.name=first", "training.steps=4", "checkpoint.interval=2"] }),
  );
  await first.train();
  await first.close();
  const checkpoints = join(folder, "outputs", "first", "checkpoint");
  for (const [name, step] of [
    [join(checkpoints, "step_2"), 2],
    [checkpoints, 4],
  ] as const) {
    const config = Config.fromYaml(path, {
      overrides: [`job.name=from-${step}`, `checkpoint.initial_load_path=${name}`],
    });
    await TrainerActor.checkConfig(config);
    const notes: string[] = [];
    const trainer = await Trainer.create(config, { onNote: (text) => notes.push(text) });
    assert.equal(trainer.currentStep, step);
    assert.ok(
      notes.includes(
        `resumes after step ${step} from ${join(checkpoints, `step-${step}`)} (checkpoint.initial_load_path)`,
      ),
      notes.join("\n"),
    );
    await trainer.close();
  }
});
