// A training process is killed (SIGKILL) at random moments, and in the middle of saves, and started again each time. In the
// end it has left, bit for bit, what a run has left that nothing happened to.
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { listCheckpoints } from "../../src/checkpoint/index.ts";
import { remains, trainingProcess } from "./processes.ts";
import { makeTinyConfig, makeTinyModel } from "./tiny.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-train-kill-"));
test.after(() => rmSync(work, { recursive: true, force: true }));
const steps = 24;
const args = [makeTinyConfig(work, makeTinyModel(join(work, "model")), steps), "checkpoint.interval=2"];
const run = (name: string): string => join(work, "outputs", name);

test.before(async () => {
  await trainingProcess([...args, "job.name=straight"]);
});

/** The checkpoints of a run that was just killed; every one must be whole. Returns the latest step. */
function latestOf(name: string): number {
  const { complete, broken } = listCheckpoints(join(run(name), "checkpoint"));
  assert.deepEqual(broken, []);
  return complete.at(-1)?.step ?? 0;
}

/** Kills a process some milliseconds after its first step. */
const soon =
  (milliseconds: number) => (child: ChildProcess, onLine: (listener: (line: string) => void) => void) => {
    let first = true;
    onLine((line) => {
      if (!first || !line.startsWith("step")) return;
      first = false;
      setTimeout(() => child.kill("SIGKILL"), milliseconds);
    });
  };

/** Kills a process as soon as it is seen writing a checkpoint. */
const whileSaving = (folder: string) => (child: ChildProcess) => {
  const timer = setInterval(() => {
    const saving = existsSync(folder) && readdirSync(folder).some((entry) => entry.includes(".tmp-"));
    if (!saving) return;
    clearInterval(timer);
    child.kill("SIGKILL");
  }, 1);
  child.once("exit", () => clearInterval(timer));
};

void test("killed at random moments", { timeout: 400_000 }, async () => {
  const name = "random";
  for (let round = 0; round < 5; round++) {
    const before = latestOf(name);
    if (before === steps) break;
    const { lines } = await trainingProcess([...args, `job.name=${name}`], soon(Math.random() * 400));
    const note = lines.find((line) => line.startsWith("note"));
    assert.match(
      note!,
      before === 0 ? /starts from the weights/ : new RegExp(`resumes after step ${before} of`),
    );
    assert.ok(latestOf(name) >= before);
  }
  await trainingProcess([...args, `job.name=${name}`]);
  assert.deepEqual(remains(run(name), steps), remains(run("straight"), steps));
});

void test("killed in the middle of saves", { timeout: 400_000 }, async () => {
  const name = "saving";
  const folder = join(run(name), "checkpoint");
  let halfWritten = 0;
  for (let round = 0; round < 4; round++) {
    const { signal } = await trainingProcess([...args, `job.name=${name}`], whileSaving(folder));
    assert.equal(signal, "SIGKILL");
    latestOf(name);
    if (readdirSync(folder).some((entry) => entry.includes(".tmp-"))) halfWritten++;
  }
  assert.ok(halfWritten > 0, "no kill hit a save");
  await trainingProcess([...args, `job.name=${name}`]);
  assert.deepEqual(
    readdirSync(folder).filter((entry) => !entry.startsWith("step-")),
    [],
  );
  assert.deepEqual(remains(run(name), steps), remains(run("straight"), steps));
});
