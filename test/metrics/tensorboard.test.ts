// Python's own tensorboard reads our event files. It is installed once with pip into torchforge's cache, away from
// every venv; the first run of this test therefore needs a package index.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { TensorBoardWriter, type StepRecord } from "../../src/metrics/index.ts";
import { cacheDir } from "../../src/util/index.ts";

const version = "2.20.0";

/** The folder that `pip install --target` filled, complete or not there at all. */
function tensorboard(): string {
  const folder = join(cacheDir(), `tensorboard-${version}`);
  if (existsSync(folder)) return folder;
  const beside = `${folder}.${process.pid}.tmp`;
  const packages = [`tensorboard==${version}`, "setuptools<81"]; // it still imports pkg_resources
  python(["-m", "pip", "install", "--quiet", "--no-compile", "--target", beside, ...packages], {});
  if (existsSync(folder)) rmSync(beside, { recursive: true });
  else renameSync(beside, folder);
  return folder;
}

function python(args: string[], env: Record<string, string>): string {
  const { status, stdout, stderr } = spawnSync(process.env["PYTHON"] ?? "python3", args, {
    encoding: "utf8",
    timeout: 600_000,
    env: { ...process.env, ...env },
  });
  assert.equal(status, 0, stderr);
  return stdout;
}

const read = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
events.Reload()
print(json.dumps({tag: [[e.step, e.wall_time, e.value] for e in events.Scalars(tag)]
                  for tag in events.Tags()["scalars"]}))
`;

function record(step: number, loss: number): StepRecord {
  return {
    kind: "train",
    step,
    steps: 40,
    time: 1_700_000_000.25 + step,
    loss,
    learning_rate: 1e-5,
    grad_norm: 0.5,
    num_tokens: 100 * step,
    tokens_per_second: 10,
    step_seconds: 10,
    seconds_left: 0,
  };
}

test(
  "Python's tensorboard reads steps, times and values, and drops what a resume told anew",
  { timeout: 900_000 },
  (t) => {
    const folder = mkdtempSync(join(tmpdir(), "forge-tb-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const first = new TensorBoardWriter(folder, 0, () => 1_700_000_000);
    for (let step = 1; step <= 30; step++) first.write(record(step, 9));
    first.write({ kind: "eval", step: 10, time: 1_700_000_010, eval_loss: 2.5, num_tokens: 50 });
    first.close();
    // Resumed from step 20: what the first file says of 21 to 30 must go.
    const second = new TensorBoardWriter(folder, 20, () => 1_700_000_100);
    for (let step = 21; step <= 40; step++) second.write(record(step, 1));
    second.close();

    const site = tensorboard();
    const scalars = JSON.parse(python(["-c", read, folder], { PYTHONPATH: site })) as Record<
      string,
      [number, number, number][]
    >;
    assert.deepEqual(Object.keys(scalars).sort(), [
      "eval/loss",
      "train/grad_norm",
      "train/learning_rate",
      "train/loss",
      "train/num_tokens",
      "train/step_seconds",
      "train/tokens_per_second",
    ]);
    assert.deepEqual(
      scalars["train/loss"],
      Array.from({ length: 40 }, (_, i) => [i + 1, 1_700_000_001.25 + i, i < 20 ? 9 : 1]),
    );
    assert.deepEqual(scalars["eval/loss"], [[10, 1_700_000_010, 2.5]]);
    assert.equal(scalars["train/learning_rate"]![0]![2], Math.fround(1e-5));
  },
);
