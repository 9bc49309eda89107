// A training step ends with as many live tensors, and as many bytes, as it began with, without the garbage collector's help;
// an evaluation with as many open files and threads.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { Config } from "../../src/config/index.ts";
import { memoryStats } from "../../src/torch/index.ts";
import { Trainer } from "../../src/train/index.ts";
import { openFilesIn, threadCount } from "../open-files.ts";
import { root } from "../programs.ts";
import { makeTinyModel } from "./tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "torchforge-memory-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const path = join(root, "data", "alpaca-python.jsonl");
const makeTrainer = (): Promise<Trainer> =>
  Trainer.create(
    Config.create({
      job: { dump_folder: folder },
      model: { hf_assets_path: makeTinyModel(join(folder, "model")) },
      processes: { procs: 1, with_gpus: false },
      // Of one length, so that every step has the same shapes.
      training: { local_batch_size: 1, global_batch_size: 2, seq_len: 128, steps: 100, datasets: [{ path }] },
      eval: { datasets: [{ path }], max_eval_steps: 2 },
      checkpoint: { enable: false },
    }),
  );

test("steps, evaluations and measuring leave nothing behind", { timeout: 120_000 }, async () => {
  const trainer = await makeTrainer();
  try {
    // The first step makes the optimizer's state.
    await trainer.trainStep();
    await trainer.evaluate();
    const { liveTensors, currentBytes } = memoryStats();
    for (let i = 0; i < 5; i++) {
      await trainer.trainStep();
      await trainer.evaluate();
      trainer.measure();
      const now = memoryStats();
      assert.deepEqual(
        [now.liveTensors, now.currentBytes],
        [liveTensors, currentBytes],
        `after round ${i + 1}`,
      );
    }
  } finally {
    await trainer.close();
    trainer.model.dispose();
  }
});

test("40 evaluations open the held-out data once", { skip: process.platform !== "linux" }, async () => {
  const data = join(root, "data");
  const trainer = await makeTrainer();
  try {
    const [first] = await trainer.evaluate();
    const opened = [openFilesIn(data), threadCount()];
    assert.deepEqual(opened[0], [path, path]); // of training and of evaluation
    for (let i = 1; i < 40; i++) assert.deepEqual(await trainer.evaluate(), [first]);
    assert.deepEqual([openFilesIn(data), threadCount()], opened);
  } finally {
    await trainer.close();
    trainer.model.dispose();
  }
  assert.deepEqual(openFilesIn(data), []);
});
