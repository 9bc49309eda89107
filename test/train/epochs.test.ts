// `training.epochs`: every row is trained as often as it says; a resumed run ends as one that was never interrupted, a finished
// one does nothing, and one that is given more epochs goes on.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";

import { Config } from "../../src/config/index.ts";
import { readRunInfo } from "../../src/metrics/run-info.ts";
import { describeRun, Trainer } from "../../src/train/index.ts";
import { remains, trainingProcess } from "./processes.ts";
import { makeTinyConfig, makeTinyModel } from "./tiny.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-epochs-"));
after(() => rmSync(work, { recursive: true, force: true }));
const model = makeTinyModel(join(work, "model"));
const rows = join(work, "rows.jsonl");
writeFileSync(
  rows,
  Array.from({ length: 37 }, (_, i) => {
    const answer = "word ".repeat(3 + ((i * 7) % 40));
    return `${JSON.stringify({
      messages: [
        { role: "user", content: `n ${i}` },
        { role: "assistant", content: answer },
      ],
    })}\n`;
  }).join(""),
);
const path = makeTinyConfig(work, model, 2);
const overrides = [
  "training.epochs=2",
  "~training.datasets",
  `training.dataset=${rows}`,
  "~lr_scheduler.warmup_steps",
  "checkpoint.interval=2",
];

async function start(name: string, more: string[] = [], notes: string[] = []): Promise<Trainer> {
  const config = Config.fromYaml(path, { overrides: [...overrides, `job.name=${name}`, ...more] });
  return Trainer.create(config, { onNote: (text) => notes.push(text) });
}

const run = (name: string): string => join(work, "outputs", name);

void suite("training.epochs", { timeout: 300_000 }, () => {
  let steps = 0;

  void test("comes to steps, which the schedule and the run's record have", async () => {
    const trainer = await start("straight");
    ({ steps } = trainer.spec);
    assert.ok(steps >= 4 && steps < 40, String(steps));
    assert.equal(trainer.config.training.steps, steps);
    assert.equal(trainer.config.lr_scheduler.warmup_steps, Math.floor(steps / 5));
    assert.ok(
      describeRun(trainer).some((line) => line.startsWith(`steps       ${steps} (2 epochs) of 2 x 128 `)),
    );
    assert.equal((await trainer.train()).step, steps);
    // All rows are trained twice, and a further one only where the last step has room.
    assert.ok(trainer.loader.epoch >= 2 && trainer.loader.epoch < 2.5, String(trainer.loader.epoch));
    assert.equal(readRunInfo(run("straight"))?.steps, steps);
    assert.match(readFileSync(join(run("straight"), "config.yaml"), "utf8"), /epochs: 2\n/);
    await trainer.close();
  });

  void test("a resumed run is exact, one that is done does nothing, one with more epochs goes on", async () => {
    cpSync(run("straight"), run("resumed"), { recursive: true });
    for (let step = 3; step <= steps; step++)
      rmSync(join(run("resumed"), "checkpoint", `step-${step}`), { recursive: true, force: true });
    const { lines } = await trainingProcess([path, ...overrides, "job.name=resumed"]);
    assert.ok(
      lines.some((line) => line.startsWith("note resumes after step 2 from ")),
      lines.join("\n"),
    );
    assert.deepEqual(remains(run("resumed"), steps), remains(run("straight"), steps));

    const notes: string[] = [];
    const again = await start("straight", [], notes);
    assert.equal(again.run.isOpen, false);
    assert.equal((await again.train()).step, steps);
    await again.close();
    assert.match(notes.join("\n"), new RegExp(`is already trained for ${steps} of ${steps} steps`));

    const more = await start("straight", ["training.epochs=3"], notes);
    assert.ok(more.spec.steps > steps && more.spec.steps <= 2 * steps, String(more.spec.steps));
    assert.ok(notes.includes("  training.epochs: 2 → 3"), notes.join("\n"));
    await more.close();

    await assert.rejects(
      start("elsewhere", [
        `checkpoint.initial_load_path=${join(run("straight"), "checkpoint", `step-${steps}`)}`,
      ]),
      {
        name: "UserError",
        message:
          /^checkpoint\.initial_load_path: .* all of training\.epochs \(2\); raise training\.epochs to go on from it$/,
      },
    );
  });

  void test("a run that goes on can be given steps in their place, and no other epochs", async () => {
    const trainer = await start("changed");
    assert.throws(() => trainer.configure(trainer.config.with({ training: { epochs: 5 } })), {
      name: "UserError",
      message:
        /^training\.epochs: can't be changed in a run that has begun, found 5; give training\.epochs: null and /,
    });
    trainer.configure(trainer.config.with({ optimizer: { lr: 1e-4 } }));
    assert.equal(trainer.spec.steps, steps);
    trainer.configure(trainer.config.with({ training: { epochs: null, steps: 1 } }));
    assert.equal((await trainer.train()).step, 1);
    await trainer.close();
  });
});
