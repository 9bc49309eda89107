// `checkpoint.keep_best`: the checkpoint with the lowest evaluation loss stays, whatever its age, also in a resumed run.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, suite, test } from "node:test";

import { Config } from "../../src/config/index.ts";
import { readMetrics, type EvalRecord } from "../../src/metrics/index.ts";
import { readRunInfo } from "../../src/metrics/run-info.ts";
import { Trainer, type TrainerResult } from "../../src/train/index.ts";
import { makeTinyConfig, makeTinyModel } from "./tiny.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-best-"));
after(() => rmSync(work, { recursive: true, force: true }));
const steps = 12;
const path = makeTinyConfig(work, makeTinyModel(join(work, "model")), steps);
const alpaca = resolve(import.meta.dirname, "..", "..", "data", "alpaca-python.jsonl");

async function train(name: string, ...overrides: string[]): Promise<TrainerResult> {
  const config = Config.fromYaml(path, {
    overrides: [
      `job.name=${name}`,
      `eval.datasets=[{path: ${alpaca}, split: "train[:8]"}]`,
      "eval.eval_every_n_steps=1",
      "checkpoint.keep_best=true",
      "checkpoint.keep_latest_k=2",
      "checkpoint.interval=2",
      // So much that the loss goes up again.
      "optimizer.lr=1.5",
      "lr_scheduler.warmup_steps=12",
      ...overrides,
    ],
  });
  const trainer = await Trainer.create(config);
  try {
    return await trainer.train();
  } finally {
    await trainer.close();
  }
}

const folder = (name: string): string => join(work, "outputs", name);
const saved = (name: string): number[] =>
  readdirSync(join(folder(name), "checkpoint"))
    .flatMap((entry) => (/^step-\d+$/.test(entry) ? [Number(entry.slice("step-".length))] : []))
    .sort((a, b) => a - b);

function lowest(name: string): { step: number; loss: number } {
  const evals = readMetrics(join(folder(name), "metrics.jsonl")).filter(
    (record): record is EvalRecord => record.kind === "eval",
  );
  const { step, eval_loss: loss } = evals.reduce((a, b) => (b.eval_loss < a.eval_loss ? b : a));
  return { step, loss };
}

void suite("checkpoint.keep_best", { timeout: 300_000 }, () => {
  for (const mode of ["disabled", "async"] as const)
    void test(`keeps the best beside the latest (checkpoint.async_mode: ${mode})`, async () => {
      const { best } = await train(mode, `checkpoint.async_mode=${mode}`);
      const expected = lowest(mode);
      assert.ok(
        expected.step > 1 && expected.step < steps - 2,
        `the best is none of the latest: ${expected.step}`,
      );
      const checkpoint = join(folder(mode), "checkpoint", `step-${expected.step}`);
      assert.deepEqual(best, { ...expected, checkpoint });
      assert.deepEqual(saved(mode), [expected.step, steps - 2, steps]);
      assert.deepEqual(readRunInfo(folder(mode))?.best, {
        step: expected.step,
        eval_loss: expected.loss,
        checkpoint,
      });
    });

  void test("a resumed run knows it, and one that evaluates other data begins to look anew", async () => {
    const expected = lowest("disabled");
    cpSync(folder("disabled"), folder("resumed"), { recursive: true });
    rmSync(join(folder("resumed"), "checkpoint", `step-${steps}`), { recursive: true });
    const { best } = await train("resumed");
    assert.deepEqual([best?.step, best?.loss], [expected.step, expected.loss]);
    assert.deepEqual(saved("resumed"), [expected.step, steps - 2, steps]);

    const more = ["training.steps=14", `eval.datasets=[{path: ${alpaca}, split: "train[8:12]"}]`];
    const other = await train("resumed", ...more);
    assert.ok(other.best!.step > steps, String(other.best!.step));
    assert.ok(!saved("resumed").includes(expected.step));
  });
});
