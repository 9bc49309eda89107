// When a run that is told to stop stops: before the next step begins, whatever was under way.
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { Config } from "../../src/config/index.ts";
import { Trainer } from "../../src/train/index.ts";
import { makeTinyConfig, makeTinyModel } from "./tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "torchforge-stop-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const path = makeTinyConfig(folder, makeTinyModel(join(folder, "model")), 6);

/** A signal that comes while the thread is busy, where the event loop has polled already. */
async function signalInPoll(): Promise<void> {
  await stat(folder);
  process.kill(process.pid, "SIGWINCH");
}

for (const during of ["trainStep", "save"] as const)
  test(`a signal in ${during}() ends the run before another step, with one save`, async () => {
    const config = Config.fromYaml(path, {
      overrides: [`job.name=${during}`, "checkpoint.interval=1"],
    });
    const trainer = await Trainer.create(config);
    const counts = { trainStep: 0, save: 0 };
    const stop = (): void => trainer.stop();
    process.on("SIGWINCH", stop);
    try {
      for (const name of ["trainStep", "save"] as const) {
        const original = trainer[name].bind(trainer) as () => Promise<never>;
        trainer[name] = async () => {
          counts[name]++;
          const result = await original();
          if (name === during && counts[name] === 1) await signalInPoll();
          return result;
        };
      }
      const { step, status } = await trainer.train();
      assert.deepEqual([step, status], [1, "stopped"]);
      assert.deepEqual(counts, { trainStep: 1, save: 1 });
      assert.deepEqual(readdirSync(join(folder, "outputs", during, "checkpoint")), ["step-1"]);
    } finally {
      process.off("SIGWINCH", stop);
      await trainer.close();
    }
  });
