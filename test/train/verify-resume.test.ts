// `forge verify-resume` as a user runs it: on a configuration that works, and on ones that don't.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import test from "node:test";

import { makeTinyConfig, makeTinyModel } from "./tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "torchforge-verify-"));
test.after(() => rmSync(folder, { recursive: true, force: true }));
const config = makeTinyConfig(folder, makeTinyModel(join(folder, "model")), 1000);
const work = join(folder, "work");
mkdirSync(work);
const main = resolve(import.meta.dirname, "..", "..", "src", "cli", "main.ts");

function verifyResume(...args: string[]) {
  const command = [main, "verify-resume", "--config", config, "--work-dir", work, ...args];
  const env = { ...process.env, OMP_NUM_THREADS: "1", NO_COLOR: "1" };
  return spawnSync(process.execPath, command, { env, encoding: "utf8", timeout: 280_000 });
}

void test("an exact resume is shown on one screen, and nothing is left behind", { timeout: 300_000 }, () => {
  const { status, stdout, stderr } = verifyResume("--steps", "4");
  assert.equal(status, 0, stderr);
  assert.match(
    stdout,
    /^tiny\.yaml: 4 steps, killed \(SIGKILL\) after step 2 and resumed \(.*\)\n\n {2}identical {2}losses .*of 4 steps/,
  );
  assert.equal(stdout.match(/^ {2}identical /gm)?.length, 5);
  assert.match(stdout, /A resume is exact with this configuration\.\n$/);
  assert.deepEqual(readdirSync(work), []);
  assert.ok(!readdirSync(folder).includes("outputs"), "the user's own runs are untouched");
});

void test("a configuration that can't run says why", { timeout: 120_000 }, () => {
  const odd = verifyResume("--steps", "5");
  assert.equal(odd.status, 2);
  assert.equal(odd.stderr, "error: --steps: expected an even number from 2 on, found 5\n");
  const wrong = verifyResume("training.sequence_length=5");
  assert.equal(wrong.status, 2);
  assert.match(wrong.stderr, /training\.sequence_length/);
  const missing = verifyResume(`training.datasets[0].path=${join(folder, "absent.jsonl")}`);
  assert.equal(missing.status, 2, missing.stderr);
  assert.match(missing.stderr, /the run 'straight' ended with exit code 2:\n[^]*absent\.jsonl/);
  const step = join(folder, "checkpoints", "step-3");
  mkdirSync(step, { recursive: true });
  writeFileSync(join(step, "state.json"), JSON.stringify({ kind: "full", step: 3, sequence: 1 }));
  for (const path of [step, join(folder, "checkpoints", "step_3"), join(folder, "checkpoints")]) {
    const trained = verifyResume(`checkpoint.initial_load_path=${path}`);
    assert.equal(trained.status, 2, trained.stderr);
    assert.ok(
      trained.stderr.includes(
        `checkpoint.initial_load_path: expected weights to begin with, found the checkpoint ${step}, from which a run would go on;`,
      ),
      trained.stderr,
    );
  }
  assert.deepEqual(readdirSync(work), []);
});
