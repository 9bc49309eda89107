import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import type { OptimizerState } from "../optim/index.ts";
import { openSafetensors } from "../safetensors/index.ts";
import * as torch from "../torch/index.ts";
import { Checkpointer, type CheckpointerOptions } from "./index.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-checkpointer-"));
test.after(() => rmSync(work, { recursive: true, force: true }));

/** An optimizer as the checkpointer sees it. */
class Momentum {
  readonly moment = torch.zeros([2]);
  steps = 0;
  state(): OptimizerState[] {
    return [
      { parameter: "w", part: "exp_avg", tensor: this.moment, isElementwise: true },
      { parameter: "w", part: "step", tensor: torch.fromArray(BigInt(this.steps)), isElementwise: false },
    ];
  }
  loadState(state: readonly OptimizerState[]): void {
    this.steps = state.find(({ part }) => part === "step")!.tensor.item();
  }
}

function run(folder: string, options: Partial<CheckpointerOptions> = {}) {
  const model = new Map([["w", torch.zeros([2])]]);
  const optimizer = new Momentum();
  const checkpointer = new Checkpointer({ folder, steps: 10, interval: 3, ...options });
  const advance = async (step: number) => {
    model.get("w")!.fill_(step);
    optimizer.moment.fill_(-step);
    optimizer.steps = step;
    if (!checkpointer.isDue(step)) return undefined;
    const parts = { train_state: { step }, lr_scheduler: { step }, dataloader: { step } };
    return checkpointer.save({ step, model, optimizer: optimizer.state(), parts, configDigest: "d" });
  };
  return { model, optimizer, checkpointer, advance };
}

void test("saves at the interval and at the end, and resumes all of it", async () => {
  const folder = join(work, "whole");
  const first = run(folder, { enableFirstStepCheckpoint: true });
  assert.equal(first.checkpointer.start().kind, "random");
  const saved: number[] = [];
  for (let step = 1; step <= 8; step++) {
    const report = await first.advance(step);
    if (report) saved.push(report.step);
  }
  assert.deepEqual(saved, [1, 3, 6]);

  const second = run(folder);
  const start = second.checkpointer.start();
  assert.ok(start.kind === "resume");
  assert.match(start.note, /resumes after step 6 of 10 from .*step-6$/);
  assert.deepEqual(second.checkpointer.resume(start.checkpoint, second), {
    step: 6,
    parts: { train_state: { step: 6 }, lr_scheduler: { step: 6 }, dataloader: { step: 6 } },
    configDigest: "d",
  });
  assert.deepEqual(second.model.get("w")!.tolist(), [6, 6]);
  assert.deepEqual(second.optimizer.moment.tolist(), [-6, -6]);
  assert.equal(second.optimizer.steps, 6);

  const third = run(folder, { excludeFromLoading: ["optimizer", "dataloader"] });
  const resumed = third.checkpointer.resume(start.checkpoint, third);
  assert.deepEqual(Object.keys(resumed.parts).sort(), ["lr_scheduler", "train_state"]);
  assert.deepEqual(third.model.get("w")!.tolist(), [6, 6]);
  assert.deepEqual(third.optimizer.moment.tolist(), [0, 0]);
});

void test("the last save can be resumed from, and the model is exported beside it in the export dtype", async () => {
  const source = join(work, "model");
  mkdirSync(source);
  writeFileSync(join(source, "config.json"), JSON.stringify({ model_type: "llama", torch_dtype: "float32" }));
  writeFileSync(join(source, "tokenizer.json"), "{}");
  const folder = join(work, "last");
  const options = { hfAssetsPath: source, exportDtype: "bfloat16" } as const;
  const { advance, checkpointer } = run(folder, options);
  const report = await advance(10);
  const exported = join(folder, "step-10-hf");
  assert.deepEqual([report?.path, report?.exported], [join(folder, "step-10"), exported]);
  const files = ["config.json", "model.safetensors", "state.json", "tokenizer.json"];
  assert.deepEqual(readdirSync(exported).sort(), files);
  {
    using file = openSafetensors(join(exported, "model.safetensors"));
    assert.equal(file.info("w").dtype, "BF16");
  }
  const config = JSON.parse(readFileSync(join(exported, "config.json"), "utf8")) as { torch_dtype: string };
  assert.equal(config.torch_dtype, "bfloat16");
  assert.equal(run(folder).checkpointer.start().kind, "finished");
  const onward = run(folder, { steps: 20 }).checkpointer.start();
  assert.ok(onward.kind === "resume" && onward.checkpoint.step === 10);
  assert.equal(checkpointer.lacksExport(10), false);
  rmSync(exported, { recursive: true });
  assert.equal(checkpointer.lacksExport(10), true);

  const alone = join(work, "alone");
  await run(alone, { ...options, lastSaveModelOnly: true }).advance(10);
  assert.deepEqual(readdirSync(alone), ["step-10"]);
  assert.deepEqual(readdirSync(join(alone, "step-10")).sort(), files);

  const bare = join(work, "bare");
  await run(bare, { hfAssetsPath: source, lastSaveModelOnly: true, lastSaveInHf: false }).advance(10);
  assert.deepEqual(readdirSync(join(bare, "step-10")).sort(), ["model.safetensors", "state.json"]);

  const full = join(work, "full");
  await run(full, { lastSaveInHf: false }).advance(10);
  assert.deepEqual(readdirSync(full), ["step-10"]);
});

void test("keep_latest_k purges, but not what the run resumed from", async () => {
  const folder = join(work, "purge");
  const options = { interval: 1, keepLatestK: 2, steps: 100 };
  const first = run(folder, options);
  for (let step = 1; step <= 4; step++) await first.advance(step);
  assert.deepEqual(readdirSync(folder).sort(), ["step-3", "step-4"]);
  const second = run(folder, { ...options, loadStep: 3 });
  const start = second.checkpointer.start();
  assert.ok(start.kind === "resume");
  second.checkpointer.resume(start.checkpoint, second);
  assert.deepEqual((await second.advance(4))?.purged, []);
  assert.deepEqual((await second.advance(5))?.purged, []);
  assert.deepEqual((await second.advance(6))?.purged, [4]);
  assert.deepEqual(readdirSync(folder).sort(), ["step-3", "step-5", "step-6"]);
});

void test("load_only and enable: false save nothing", async () => {
  for (const options of [{ loadOnly: true }, { enable: false }]) {
    const folder = join(work, "nothing");
    const { checkpointer, advance, model } = run(folder, options);
    assert.equal(checkpointer.isDue(3), false);
    assert.equal(await advance(10), undefined);
    assert.equal(await checkpointer.save({ step: 10, model }), undefined);
    assert.throws(() => readdirSync(folder), { code: "ENOENT" });
  }
});
