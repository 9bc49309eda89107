// A run that is resumed ends as one that was never interrupted: losses, weights, optimizer state, data position and random
// state, bit for bit.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import test from "node:test";

import { remains, trainingProcess } from "./processes.ts";
import { makeTinyConfig, makeTinyModel } from "./tiny.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-resume-"));
test.after(() => rmSync(work, { recursive: true, force: true }));
const steps = 9;
const alpaca = resolve(import.meta.dirname, "..", "..", "data", "alpaca-python.jsonl");
const config = makeTinyConfig(work, makeTinyModel(join(work, "model")), steps);
const run = (name: string): string => join(work, "outputs", name);

/** A copy of the uninterrupted run as it was when it had its checkpoint of `step`, and nothing later. */
function stoppedAt(step: number, name: string): string {
  cpSync(run("straight"), run(name), { recursive: true });
  for (const entry of readdirSync(join(run(name), "checkpoint")))
    if (Number(entry.slice("step-".length)) > step)
      rmSync(join(run(name), "checkpoint", entry), { recursive: true });
  return run(name);
}

test.before(async () => {
  await trainingProcess([config, "job.name=straight"]);
});

for (const step of [3, 6]) {
  void test(`resumed after step ${step}`, { timeout: 120_000 }, async () => {
    const folder = stoppedAt(step, `resumed-${step}`);
    const { lines } = await trainingProcess([config, `job.name=resumed-${step}`]);
    assert.ok(
      lines.includes(`note resumes after step ${step} of ${steps} from ${folder}/checkpoint/step-${step}`),
    );
    assert.deepEqual(
      lines.filter((line) => line.startsWith("step")).map((line) => Number(line.split(" ")[1])),
      Array.from({ length: steps - step }, (_, i) => step + 1 + i),
    );
    assert.deepEqual(remains(folder, steps), remains(run("straight"), steps));
  });
}

void test("load_step goes back, initial_load_path comes from another run", { timeout: 120_000 }, async () => {
  cpSync(run("straight"), run("back"), { recursive: true });
  await trainingProcess([config, "job.name=back", "checkpoint.load_step=3"]);
  assert.deepEqual(remains(run("back"), steps), remains(run("straight"), steps));

  const path = join(run("straight"), "checkpoint", "step-6");
  await trainingProcess([config, "job.name=elsewhere", `checkpoint.initial_load_path=${path}`]);
  const { weights, optimizer, parts, steps: logged } = remains(run("straight"), steps);
  const other = remains(run("elsewhere"), steps);
  assert.deepEqual([other.weights, other.optimizer, other.parts], [weights, optimizer, parts]);
  assert.deepEqual(other.steps, logged.slice(6));
});

void test(
  "a run that is done stays as it is; a damaged checkpoint stops a run and says what to do",
  { timeout: 120_000 },
  async () => {
    const before = remains(run("straight"), steps);
    const { lines } = await trainingProcess([config, "job.name=straight"]);
    assert.match(
      lines.join("\n"),
      /note .*step-9 is already trained for 9 of 9 steps; raise training\.steps/,
    );
    assert.deepEqual(remains(run("straight"), steps), before);

    const folder = stoppedAt(6, "damaged");
    truncateSync(join(folder, "checkpoint", "step-6", "model.safetensors"), 1000);
    await assert.rejects(
      trainingProcess([config, "job.name=damaged"]),
      /UserError: .*step-6: damaged: model\.safetensors has 1000 bytes, expected \d+\. The checkpoint of step 3 is complete: resume from it with checkpoint\.load_step=3\./,
    );
    await trainingProcess([config, "job.name=damaged", "checkpoint.load_step=3"]);
    assert.deepEqual(remains(folder, steps), remains(run("straight"), steps));
  },
);

void test("exclude_from_loading leaves each part aside", { timeout: 120_000 }, async () => {
  const reference = remains(run("straight"), steps);
  const resume = async (part: string) => {
    const folder = stoppedAt(6, `without-${part}`);
    await trainingProcess([
      config,
      `job.name=without-${part}`,
      "checkpoint.load_step=6",
      `checkpoint.exclude_from_loading=[${part}]`,
    ]);
    return remains(folder, steps);
  };
  const rates = (from: typeof reference) => from.steps.map((line) => line[3]);
  const schedule = await resume("lr_scheduler");
  assert.deepEqual(rates(schedule), [...rates(reference).slice(0, 6), ...rates(reference).slice(0, 3)]);

  // Without it the steps are counted anew; the schedule, which was loaded, is past its end.
  const counted = await resume("train_state");
  assert.deepEqual(
    counted.steps.map(([step]) => step),
    reference.steps.map(([step]) => step),
  );
  assert.deepEqual(rates(counted), [...rates(reference).slice(6), ...Array.from({ length: 6 }, () => 0)]);

  const data = await resume("dataloader");
  const losses = (from: typeof reference) => from.steps.slice(6).map((line) => line[1]);
  assert.deepEqual(rates(data), rates(reference));
  assert.notDeepEqual(losses(data), losses(reference));

  const fresh = await resume("optimizer");
  assert.equal(fresh.steps[6]![1], reference.steps[6]![1], "the first loss needs no optimizer");
  assert.notEqual(fresh.steps[7]![1], reference.steps[7]![1]);
});

void test("another configuration is told, old and new, or refused", { timeout: 300_000 }, async () => {
  const changes = [
    "optimizer.lr=2e-3",
    "optimizer.beta2=0.99",
    "optimizer.weight_decay=0",
    "lr_scheduler.decay_type=linear",
    "training.max_norm=0.5",
    "training.global_batch_size=2",
    "training.seq_len=96",
    "training.on_overlong=drop",
    "training.mixed_precision_param=bfloat16",
  ];
  const harmless = ["training.gc_freq=7", "checkpoint.interval=4", "activation_checkpoint.mode=full"];
  stoppedAt(6, "changed");
  await assert.rejects(
    trainingProcess([config, "job.name=changed", "checkpoint.strict_resume=true", ...changes]),
    (error: Error) => {
      assert.match(error.message, /checkpoint\.strict_resume: .*step-6 was saved with another configuration/);
      assert.match(error.message, /optimizer\.lr: 0\.001 → 0\.002/);
      return true;
    },
  );
  stoppedAt(6, "changed-on");
  const { lines } = await trainingProcess([config, "job.name=changed-on", ...harmless, ...changes]);
  const heading = lines.findIndex((line) => line.includes("the configuration is not the one that was saved"));
  assert.match(lines[heading - 1]!, /resumes after step 6/);
  const told = lines.slice(heading + 1).filter((line) => line.includes(" → "));
  assert.deepEqual(told.map((line) => line.replace(/^note +/, "")).toSorted(), [
    'lr_scheduler.decay_type: "cosine" → "linear"',
    "optimizer.beta2: 0.95 → 0.99",
    "optimizer.lr: 0.001 → 0.002",
    "optimizer.weight_decay: 0.1 → 0",
    "training.global_batch_size: 4 → 2",
    "training.max_norm: 1 → 0.5",
    'training.mixed_precision_param: "float32" → "bfloat16"',
    'training.on_overlong: "truncate" → "drop"',
    "training.seq_len: 128 → 96",
  ]);

  stoppedAt(6, "strict");
  const same = await trainingProcess([
    config,
    "job.name=strict",
    "checkpoint.strict_resume=true",
    ...harmless,
  ]);
  assert.ok(!same.lines.some((line) => line.includes(" → ")), same.lines.join("\n"));
});

void test(
  "another model is refused; another seed and added rows are said in words",
  { timeout: 120_000 },
  async () => {
    const other = join(work, "other-model");
    cpSync(join(work, "model"), other, { recursive: true });
    const file = join(other, "config.json");
    const json = JSON.parse(readFileSync(file, "utf8")) as object;
    writeFileSync(file, JSON.stringify({ ...json, rope_theta: 500000, rms_norm_eps: 1e-6 }));
    stoppedAt(6, "other");
    await assert.rejects(
      trainingProcess([config, "job.name=other", `model.hf_assets_path=${other}`]),
      /UserError: model\.hf_assets_path: .*step-6 is a checkpoint of another model than .*other-model; in config\.json \(saved → now\):\n {2}rms_norm_eps: 0\.00001 → 0\.000001\n {2}rope_theta: 10000 → 500000\nResume with/,
    );

    stoppedAt(6, "seeded");
    const { lines } = await trainingProcess([config, "job.name=seeded", "training.seed=4"]);
    assert.ok(
      lines.some((line) => line.includes("training.seed: 3 → 4 changes nothing: the random numbers go on")),
    );
    await assert.rejects(
      trainingProcess([config, "job.name=other", "training.data_seed=43"]),
      /training\.data_seed: expected 42, as when it was saved, found 43\. To begin the data anew, set checkpoint\.exclude_from_loading/,
    );

    const rows = join(work, "more.jsonl");
    const row = readFileSync(alpaca, "utf8").split("\n")[0]!;
    writeFileSync(rows, `${readFileSync(alpaca, "utf8").trimEnd()}\n${row}\n`);
    await assert.rejects(
      trainingProcess([config, "job.name=other", `training.datasets=[{path: ${rows}}]`]),
      /these have changed: the rows of the data\. Rows were added: 2000 then, 2001 now\. To begin the data anew/,
    );
  },
);
