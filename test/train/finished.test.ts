// A run that is finished, started again: its folder stays as it is, but for the export of its model where that is missing.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";

import { fromExactJson, type Manifest } from "../../src/checkpoint/index.ts";
import { Config } from "../../src/config/index.ts";
import { readMetrics } from "../../src/metrics/index.ts";
import { readRunInfo } from "../../src/metrics/run-info.ts";
import { Trainer } from "../../src/train/index.ts";
import { makeTinyConfig, makeTinyModel } from "./tiny.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-finished-"));
after(() => rmSync(work, { recursive: true, force: true }));
const path = makeTinyConfig(work, makeTinyModel(join(work, "model")), 2);
const withExport = "checkpoint.last_save_in_hf=true";

async function start(name: string, overrides: string[], notes: string[] = []) {
  const config = Config.fromYaml(path, { overrides: [`job.name=${name}`, ...overrides] });
  return Trainer.create(config, { onNote: (text) => notes.push(text) });
}

/** Gives what it noted. */
async function train(name: string, ...overrides: string[]): Promise<string[]> {
  const notes: string[] = [];
  const trainer = await start(name, overrides, notes);
  try {
    assert.equal((await trainer.train()).status, "finished");
  } finally {
    await trainer.close();
  }
  return notes;
}

const checkpoints = (name: string): string => join(work, "outputs", name, "checkpoint");

/** Every file below the run's folder, as it was written. */
function filesOf(name: string): Map<string, string> {
  const found = readdirSync(join(work, "outputs", name), { recursive: true, withFileTypes: true });
  const paths = found.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
  return new Map(paths.map((file) => [file, `${statSync(file).mtimeMs} ${readFileSync(file, "base64")}`]));
}

const manifestOf = (folder: string): Manifest =>
  fromExactJson(readFileSync(join(folder, "state.json"), "utf8")) as unknown as Manifest;

void suite("a finished run", { timeout: 300_000 }, () => {
  void test("with the weights alone never becomes one that can be resumed from", async () => {
    await train("alone", "checkpoint.last_save_model_only=true", withExport);
    const before = filesOf("alone");
    const trainer = await start("alone", ["checkpoint.last_save_model_only=false", withExport]);
    const { status, model } = await trainer.train();
    assert.deepEqual([status, model], ["finished", join(checkpoints("alone"), "step-2")]);
    const refused = {
      name: "UserError",
      message: /: this run has done its 2 steps, and .*step-2 holds the weights alone/,
    };
    await assert.rejects(trainer.save(), refused);
    await assert.rejects(trainer.trainStep(), refused);
    assert.equal(trainer.run.isOpen, false);
    await trainer.close();
    assert.deepEqual(filesOf("alone"), before);
  });

  void test("gets the export that it lacks, and its checkpoint stays as it is", async () => {
    await train("bare");
    const before = filesOf("bare");
    const exported = join(checkpoints("bare"), "step-2-hf");
    const otherwise = [
      withExport,
      "optimizer.lr=2e-3",
      "checkpoint.exclude_from_loading=[optimizer,lr_scheduler,dataloader]",
    ];
    await assert.rejects(train("bare", ...otherwise, "checkpoint.strict_resume=true"), {
      name: "UserError",
      message: /^checkpoint\.strict_resume: .*step-2 was saved with another configuration[^]*optimizer\.lr: /,
    });
    assert.ok(!existsSync(exported));

    const notes = await train("bare", ...otherwise);
    assert.ok(notes.includes("  optimizer.lr: 0.001 → 0.002"), notes.join("\n"));
    const now = filesOf("bare");
    const checkpoint = [...before].filter(([file]) => file.startsWith(checkpoints("bare")));
    assert.ok(checkpoint.length > 0);
    for (const [file, written] of checkpoint) assert.ok(now.get(file) === written, file);
    const [ours, theirs] = [manifestOf(exported), manifestOf(join(checkpoints("bare"), "step-2"))];
    assert.deepEqual([ours.kind, ours.run, ours.config_digest], ["model", theirs.run, theirs.config_digest]);
    const weights = (folder: string): Buffer => readFileSync(join(folder, "model.safetensors"));
    assert.ok(weights(exported).equals(weights(join(checkpoints("bare"), "step-2"))));

    await train("bare", ...otherwise);
    assert.deepEqual(filesOf("bare"), now, "and then nothing more");
  });

  void test("leaves another run's files alone, and opens its folder before it saves", async () => {
    await train("shared");
    const info = join(work, "outputs", "shared", "run.json");
    const ended = readFileSync(info, "utf8");
    const half = join(checkpoints("shared"), ".step-9.tmp-999999999");
    writeFileSync(half, "");
    await train("shared");
    assert.ok(existsSync(half));

    const trainer = await start("shared", []);
    // Another process, which is alive, goes on with the run meanwhile.
    const other = {
      ...(JSON.parse(ended) as object),
      status: "running",
      pid: process.ppid,
      host: hostname(),
    };
    writeFileSync(info, JSON.stringify({ ...other, pidStarted: undefined, ended: undefined }));
    const refused = { name: "UserError", message: /^job\.name: a run is already going on in .*shared/ };
    await assert.rejects(trainer.save(), refused);
    await assert.rejects(trainer.trainStep(), refused);
    assert.ok(existsSync(half));
    assert.equal(trainer.run.isOpen, false);

    writeFileSync(info, ended);
    const step2 = join(checkpoints("shared"), "step-2");
    const { sequence } = manifestOf(step2);
    assert.equal(await trainer.save(), step2);
    assert.equal(trainer.run.isOpen, true);
    assert.equal((JSON.parse(readFileSync(info, "utf8")) as { pid: number }).pid, process.pid);
    assert.ok(manifestOf(step2).sequence > sequence);
    assert.ok(!existsSync(half));
    trainer.run.end("interrupted");
    await trainer.close();
  });

  void test("goes on in its folder once it is given more steps", async () => {
    await train("onward");
    const notes: string[] = [];
    const other = ["optimizer.weight_decay=0"];
    const trainer = await start("onward", other, notes);
    assert.equal(trainer.run.isOpen, false);
    assert.ok(!notes.join().includes("weight_decay"));
    trainer.configure(trainer.config.with({ training: { steps: 3 } }));
    assert.ok(notes.includes("  optimizer.weight_decay: 0.1 → 0"), notes.join("\n"));
    assert.equal((await trainer.train()).step, 3);
    await trainer.close();
    const run = join(work, "outputs", "onward");
    const steps = readMetrics(join(run, "metrics.jsonl")).map(({ step }) => step);
    assert.deepEqual(steps, [1, 2, 3]);
    const info = readRunInfo(run)!;
    assert.deepEqual([info.steps, info.starts, info.status], [3, 2, "finished"]);
    assert.equal(info.data?.length, 1);
  });

  void test("that was trained step by step is saved by run(), also as the weights alone", async () => {
    const trainer = await start("steps", ["checkpoint.last_save_model_only=true", withExport]);
    await trainer.trainStep();
    await trainer.trainStep();
    const { checkpoint } = await trainer.train();
    assert.equal(checkpoint, join(checkpoints("steps"), "step-2"));
    assert.equal(manifestOf(checkpoint).kind, "model");
    await trainer.close();
  });
});
