// What is wrong with a run's model or data is said before a process is started or an addon is loaded, whoever starts the run:
// the command, a program, a notebook, a launcher. All go through the actors' checkConfig (src/train/actors/check-run.ts).
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { pathToFileURL } from "node:url";

import { makePlace } from "../cli/forge.ts";
import { environment, root } from "../programs.ts";

const place = makePlace();
after(() => rmSync(place.folder, { recursive: true, force: true }));
const log = join(place.folder, "probe.log");
const probe = pathToFileURL(join(root, "test/cli/probe.mjs")).href;
const program = join(root, "test/actors/toys/front.ts");
/** One of two ranks, whose launcher starts no other. */
const launched = { RANK: "0", WORLD_SIZE: "2", LOCAL_RANK: "0", MASTER_ADDR: "127.0.0.1", MASTER_PORT: "1" };

/** By name: the program of a front, its first arguments, and the environment that it is started in. */
const fronts: Record<string, readonly [args: readonly string[], env?: NodeJS.ProcessEnv]> = {
  "forge sft": [[join(root, "src/cli/main.ts"), "sft", "--config", place.config]],
  "forge sft --dry-run": [[join(root, "src/cli/main.ts"), "sft", "--dry-run", "--config", place.config]],
  "forge sft under a launcher": [[join(root, "src/cli/main.ts"), "sft", "--config", place.config], launched],
  "runActor(TrainerActor) in a program": [[program, "code", "TrainerActor", place.config]],
  "the same under a launcher": [[program, "code", "TrainerActor", place.config], launched],
  "runActor(TrainerActor) in a notebook": [[program, "notebook", "TrainerActor", place.config]],
};

/** Runs a front that must refuse; nothing may have been started or loaded by then. */
async function refused(
  front: readonly string[],
  override: string,
  message: RegExp,
  env: NodeJS.ProcessEnv = {},
) {
  writeFileSync(log, "");
  const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) =>
    execFile(
      process.execPath,
      [...front, override],
      {
        cwd: root,
        env: { ...environment, NODE_OPTIONS: `--import=${probe}`, PROBE_LOG: log, ...env },
        timeout: 60_000,
      },
      (error, _, stderr) => resolve({ code: error === null ? 0 : error.code, stderr }),
    ),
  );
  assert.match(stderr, message);
  assert.equal(code, 2, stderr);
  assert.deepEqual(readFileSync(log, "utf8").trim().split("\n"), [`process ${front[0]}`]);
  const outputs = join(place.folder, "outputs");
  assert.deepEqual(existsSync(outputs) ? readdirSync(outputs) : [], [], "no run folder");
}

const model = [
  "model.hf_assets_path=./nowhere",
  /^error: model\.hf_assets_path: expected a model folder/m,
] as const;
const initial = [
  "checkpoint.initial_load_path=./nowhere",
  /^error: checkpoint\.initial_load_path: expected a model folder/m,
] as const;
const dataset = [
  "training.dataset=nowhere.jsonl",
  /^error: training\.dataset: nowhere\.jsonl was not found/m,
] as const;
const heldOut = [
  "eval.datasets=[{path: nowhere.jsonl}]",
  /^error: eval\.datasets\[0\]: nowhere\.jsonl was not found/m,
] as const;

void suite("refused before anything is started", { timeout: 600_000 }, () => {
  for (const [name, [args, env = {}]] of Object.entries(fronts))
    void test(name, async () => {
      for (const [override, message] of [model, dataset]) await refused(args, override, message, env);
    });

  void test("also where the run starts from, and the held-out data", async () => {
    const [args] = fronts["runActor(TrainerActor) in a program"]!;
    for (const [override, message] of [initial, heldOut]) await refused(args, override, message);
  });

  void test("evaluators and inferencers look at what they read", async () => {
    await refused([program, "code", "EvaluatorActor", place.config], ...model);
    await refused([program, "code", "EvaluatorActor", place.config], ...heldOut);
    await refused([program, "code", "InferencerActor", place.config], ...initial);
  });
});
