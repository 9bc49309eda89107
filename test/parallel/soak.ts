// Kills of `npm run soak` (test/fuzz): a run of two ranks (parameters sharded) loses a random rank (SIGKILL) again and again, between steps and in
// the midst of saves, and is started again each time. A whole checkpoint must be there at every moment, the other rank must
// notice, and in the end losses and checkpoints are, bit for bit, those of a run that nothing happened to.
// A few kills: soak.test.ts.
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { fromExactJson, listCheckpoints, type Manifest } from "../../src/checkpoint/index.ts";
import { readMetrics } from "../../src/metrics/index.ts";
import { launch, type Rank } from "../comm/launch.ts";
import { random as randomFrom } from "../torch/fuzz/random.ts";
import { makeTinyConfig, makeTinyModel } from "../train/tiny.ts";

const script = join(import.meta.dirname, "ranks", "train");
const size = 2;
const interval = 3;
/** Steps of a life at most, before its rank is killed. */
const mostSteps = 12;

export interface SoakSummary {
  kills: number;
  /** Kills that left a half-written checkpoint behind: they hit a save. */
  inSaves: number;
  seed: number;
  steps: number;
  /** Looks at the folder, at each of which a whole checkpoint was there. */
  looks: number;
  seconds: number;
}

/**
 * @throws AssertionError where anything is lost, half there, or different
 */
export async function soak(
  kills: number,
  seed: number,
  onLife: (text: string) => void = () => undefined,
): Promise<SoakSummary> {
  const began = performance.now();
  const rng = randomFrom(seed);
  const random = (): number => rng.next();
  const upTo = (most: number): number => 1 + Math.floor(random() * most);
  const work = mkdtempSync(join(tmpdir(), "torchforge-soak-"));
  const steps = (mostSteps + interval) * kills + interval;
  const config = makeTinyConfig(work, makeTinyModel(join(work, "model")), steps);
  const runOf = (name: string): string => join(work, "outputs", name);
  const checkpoints = join(runOf("killed"), "checkpoint");
  const args = (name: string, mode: string): string[] => [
    config,
    "",
    `job.name=${name}`,
    `processes.procs=${size}`,
    `parallelism.data_parallel_shard_degree=${size}`,
    "training.seq_len=64",
    `checkpoint.interval=${interval}`,
    "checkpoint.keep_latest_k=2",
    `checkpoint.async_mode=${mode}`,
  ];
  const half = (): boolean =>
    existsSync(checkpoints) && readdirSync(checkpoints).some((name) => name.includes(".tmp-"));
  const stepsDone = (): number => {
    const metrics = join(runOf("killed"), "metrics.jsonl");
    return existsSync(metrics) ? (readFileSync(metrics, "utf8").match(/"kind":"train"/g)?.length ?? 0) : 0;
  };
  let latest = 0;
  let looks = 0;
  /** Every checkpoint that has its name is whole, and the latest never goes back. */
  const look = (): void => {
    const { complete, broken } = listCheckpoints(checkpoints);
    assert.deepEqual(broken, []);
    const step = complete.at(-1)?.step ?? 0;
    assert.ok(step >= latest, `the latest checkpoint was of step ${latest}, and is of ${step}`);
    latest = step;
    if (step > 0) looks++;
  };

  /** Kills a rank some steps later, perhaps in a save. */
  const killer = (failed: (error: unknown) => void) => (children: readonly ChildProcess[]) => {
    const victim = children[Math.floor(random() * size)]!;
    const inSave = random() < 0.5;
    const target = stepsDone() + upTo(mostSteps - 2);
    const delay = random() * 20;
    let armed = true;
    const timer = setInterval(() => {
      try {
        if (existsSync(checkpoints)) look();
      } catch (error) {
        failed(error);
      }
      if (!armed || stepsDone() < target || (inSave && !half())) return;
      armed = false;
      setTimeout(() => victim.kill("SIGKILL"), inSave ? delay / 10 : delay);
    }, 2);
    for (const child of children) child.once("exit", () => clearInterval(timer));
  };

  try {
    await launch(script, size, { args: args("straight", "disabled"), limitSeconds: 3600 }).then(assertWell);
    let inSaves = 0;
    for (let kill = 1; kill <= kills; kill++) {
      const mode = random() < 0.5 ? "disabled" : "async";
      const errors: unknown[] = [];
      const ranks = await launch(script, size, {
        args: args("killed", mode),
        limitSeconds: 600,
        onStart: killer((error) => errors.push(error)),
      });
      if (errors.length > 0) throw errors[0];
      const dead = ranks.filter(({ signal }) => signal === "SIGKILL");
      assert.equal(dead.length, 1, `one rank was killed: ${JSON.stringify(ranks)}`);
      const survivor = ranks.find(({ signal }) => signal !== "SIGKILL")!;
      assert.match(String(survivor.notes.get("error")), /connection to another rank broke/);
      look();
      if (half()) inSaves++;
      onLife(
        `kill ${kill} of ${kills}: rank ${dead[0]!.rank} after step ${stepsDone()} (${mode}${half() ? ", in a save" : ""}); the latest checkpoint is of step ${latest}`,
      );
    }
    await launch(script, size, { args: args("killed", "disabled"), limitSeconds: 3600 }).then(assertWell);
    look();
    assert.deepEqual(remains(runOf("killed"), steps), remains(runOf("straight"), steps));
    assert.equal(half(), false, "what dead ranks had left is gone");
    const seconds = Math.round((performance.now() - began) / 1000);
    return { kills, inSaves, seed, steps, looks, seconds };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

function assertWell(ranks: readonly Rank[]): void {
  for (const { rank, code, stderr, notes } of ranks)
    assert.deepEqual([code, notes.get("error")], [0, undefined], `rank ${rank}: ${stderr}`);
}

/** What must be equal. (The loader's `now` is the date that chat templates print: when the run began.) */
function remains(run: string, step: number) {
  const folder = join(run, "checkpoint", `step-${step}`);
  const { random, parts } = fromExactJson(
    readFileSync(join(folder, "state.json"), "utf8"),
  ) as unknown as Manifest;
  const tensors = readdirSync(folder).filter((name) => name.endsWith(".safetensors"));
  return {
    random,
    parts: {
      ...parts,
      dataloader: (parts.dataloader as object[]).map((one) => ({ ...one, now: undefined })),
    },
    tensors: tensors.map((name) => [name, readFileSync(join(folder, name))]),
    losses: readMetrics(join(run, "metrics.jsonl")).map((record) =>
      record.kind === "train" ? [record.step, record.loss, record.grad_norm, record.num_tokens] : record,
    ),
  };
}
