// A training run on a CUDA device beside the same run on the CPU: losses, memory, an exact resume, asynchronous checkpoints
// through page-locked memory, answers. Run by `npm run test:cuda`.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { readMetrics } from "../../src/metrics/index.ts";
import { remains, trainingProcess } from "../train/processes.ts";
import { makeTinyConfig, makeTinyModel } from "../train/tiny.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-cuda-"));
test.after(() => rmSync(work, { recursive: true, force: true }));
const steps = 6;
const config = makeTinyConfig(work, makeTinyModel(join(work, "model")), steps);
const gpu = "processes.with_gpus=true";

async function losses(name: string, ...overrides: string[]): Promise<number[]> {
  await trainingProcess([config, `job.name=${name}`, ...overrides]);
  return readMetrics(join(work, "outputs", name, "metrics.jsonl"))
    .filter((record) => record.kind === "train")
    .map((record) => record.loss);
}

function assertNear(found: readonly number[], expected: readonly number[], tolerance: number): void {
  assert.equal(found.length, expected.length);
  for (const [i, loss] of expected.entries())
    assert.ok(Math.abs(found[i]! - loss) <= tolerance * loss, `step ${i + 1}: ${found[i]}, expected ${loss}`);
}

void test("losses are the CPU's: in float32 but for the order of sums, in bfloat16 within its 8 bits", async () => {
  const expected = await losses("cpu");
  assertNear(await losses("float32", gpu, "training.mixed_precision_param=float32"), expected, 1e-5);
  assertNear(await losses("bfloat16", gpu, "training.mixed_precision_param=bfloat16"), expected, 2 ** -8);
  const [record] = readMetrics(join(work, "outputs", "bfloat16", "metrics.jsonl"));
  assert.ok(record?.kind === "train");
  const { peak_memory_mb: peak = 0 } = record;
  assert.ok(peak > 1 && peak < 4096, `peak memory ${peak} MiB`);
});

void test("a resume is exact, checkpoints through page-locked memory too", async () => {
  const mode = ["training.deterministic=true", "checkpoint.async_mode=async_with_pinned_mem"];
  await losses("straight", gpu, ...mode);
  const [from, to] = [join(work, "outputs", "straight"), join(work, "outputs", "resumed")];
  cpSync(from, to, { recursive: true });
  rmSync(join(to, "checkpoint", "step-6"), { recursive: true });
  const { lines } = await trainingProcess([config, "job.name=resumed", gpu, ...mode]);
  assert.ok(lines.some((line) => line.startsWith("note resumes after step 3 of 6")));
  const [resumed, straight] = [remains(to, steps), remains(from, steps)];
  assert.deepEqual(Object.keys(resumed.random).toSorted(), ["cpu", "cuda:0"]);
  assert.deepEqual(resumed, straight);
});

void test("a checkpoint of the GPU goes on on the CPU", async () => {
  const [from, to] = [join(work, "outputs", "straight"), join(work, "outputs", "moved")];
  cpSync(from, to, { recursive: true });
  rmSync(join(to, "checkpoint", "step-6"), { recursive: true });
  const { lines } = await trainingProcess([config, "job.name=moved"], undefined);
  assert.ok(lines.some((line) => line.startsWith("note resumes after step 3 of 6")));
});
