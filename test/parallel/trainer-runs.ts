// What the tests of the trainer in several ranks share: runs of a tiny model by name, each over the same four rows a step
// however the ranks are divided, and what they leave.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";

import { openModelWeights } from "../../src/safetensors/index.ts";
import { launch, type Rank } from "../comm/launch.ts";
import { trainInPool } from "./rank-pool.ts";
import { root } from "../programs.ts";
import { makeTinyConfig, makeTinyModel } from "../train/tiny.ts";
import { assertClose } from "../assert-close.ts";

/** The program of one rank. */
export const script = join(import.meta.dirname, "ranks", "train");

let folder = "";
let config = "";
before(() => {
  folder = mkdtempSync(join(tmpdir(), "torchforge-ranks-"));
  config = makeTinyConfig(folder, makeTinyModel(join(folder, "model")), 6);
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** A place beside the runs. */
export const placeOf = (name: string): string => join(folder, name);

/** The configuration that all runs begin with. */
export const configFile = (): string => config;

export const exported = ["checkpoint.last_save_model_only=true", "checkpoint.last_save_in_hf=true"];
export const shard = (size: number): string => `parallelism.data_parallel_shard_degree=${size}`;

/** What a rank told under a name. */
export const noted = <T>(rank: Rank | undefined, name: string): T => rank!.notes.get(name) as T;

/**
 * Unpacked, a step's rows are the same for any division. With an event "die@N" or "late@N" ranks may end as they like.
 * @param anew in processes of its own, which know nothing of an earlier run
 */
export async function train(
  name: string,
  size: number,
  overrides: readonly string[] = [],
  event = "",
  { anew = false } = {},
): Promise<Rank[]> {
  const args = [
    config,
    event,
    `job.name=${name}`,
    `processes.procs=${size}`,
    "training.packed=false",
    // Long enough that no row is dropped: a rank would take its next one instead.
    "training.seq_len=256",
    "training.local_batch_size=1",
    "training.global_batch_size=4",
    "optimizer.eps=1e-4",
    `eval.datasets=[{path: ${join(root, "data", "alpaca-python.jsonl")}, split: "train[:7]"}]`,
    ...overrides,
  ];
  const ranks =
    anew || !/^(stop|$)/.test(event)
      ? await launch(script, size, { args, limitSeconds: 900 })
      : await trainInPool(script, size, args);
  for (const { rank, code, stderr } of ranks)
    if (!/^(die|late)/.test(event)) assert.equal(code, 0, `rank ${rank}: ${stderr}`);
  return ranks;
}

export const runOf = (name: string): string => join(folder, "outputs", name);
export const stepFolder = (name: string, step: number): string =>
  join(runOf(name), "checkpoint", `step-${step}`);

/** Begins a run with a copy of another one's checkpoint: what that one did up to there need not be done again. */
export function branch(name: string, from: string, step: number): void {
  cpSync(stepFolder(from, step), stepFolder(name, step), { recursive: true });
}

/** All files of tensors of a checkpoint: of weights and of the optimizer. */
export function tensorsAt(name: string, step: number): Map<string, Buffer> {
  const path = stepFolder(name, step);
  const files = readdirSync(path).filter((file) => file.endsWith(".safetensors"));
  return new Map(files.sort().map((file) => [file, readFileSync(join(path, file))]));
}

/**
 * float32: sums in another order differ by some 2^-24. AdamW divides them by sqrt(v) + eps, so eps is large here: with 1e-8
 * gradients of nothing but rounding would move weights by a whole learning rate. bfloat16 activations differ by 2^-8 at
 * many places, which averages out: `relative` is the caller's then.
 */
export function assertSameLosses(found: readonly number[], expected: readonly number[], rtol = 1e-5): void {
  assert.equal(found.length, expected.length);
  for (const [i, loss] of expected.entries()) assertClose(found[i]!, loss, { rtol }, `step ${i + 1}`);
}

/** The exported weights of two runs after their last step, within 1e-6. */
export function assertSameWeights(name: string, expectedName: string): void {
  assert.deepEqual([...tensorsAt(name, 6).keys()], ["model.safetensors"]);
  using found = openModelWeights(stepFolder(name, 6));
  using expected = openModelWeights(stepFolder(expectedName, 6));
  assert.deepEqual(found.names, expected.names);
  const values = (bytes: Uint8Array) => new Float32Array(bytes.buffer);
  for (const tensor of expected.names) {
    assert.deepEqual(found.info(tensor), expected.info(tensor));
    const wanted = values(expected.read(tensor));
    for (const [i, value] of values(found.read(tensor)).entries())
      if (!(Math.abs(value - wanted[i]!) <= 1e-6)) assert.fail(`${tensor}[${i}]: ${value} and ${wanted[i]}`);
  }
}
