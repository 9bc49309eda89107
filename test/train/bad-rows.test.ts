// Rows that can't be read end a run, but not what it has learned by then.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { Config } from "../../src/config/index.ts";
import { Trainer } from "../../src/train/index.ts";
import { makeTinyConfig, makeTinyModel } from "./tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "torchforge-bad-rows-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const path = makeTinyConfig(folder, makeTinyModel(join(folder, "model")), 12);

const rows = (bad: number): string => {
  const file = join(folder, `bad-${bad}.jsonl`);
  const good = (i: number) => JSON.stringify({ prompt: `What is ${i}?`, completion: `A number, ${i}.` });
  const lines = Array.from({ length: 60 }, (_, i) => (i === bad ? "{not JSON" : good(i)));
  writeFileSync(file, lines.join("\n"));
  return file;
};

interface Told {
  losses: number[];
  notes: string[];
  error: string | undefined;
}

async function run(
  name: string,
  overrides: readonly string[],
  prepare?: (trainer: Trainer) => void,
): Promise<Told> {
  const told: Told = { losses: [], notes: [], error: undefined };
  const config = Config.fromYaml(path, {
    overrides: [`job.name=${name}`, "training.packed=false", "checkpoint.interval=1000", ...overrides],
  });
  const trainer = await Trainer.create(config, {
    onRecord: (record) => record.kind === "train" && told.losses.push(record.loss),
    onNote: (text) => told.notes.push(text),
  });
  prepare?.(trainer);
  await trainer.train().catch((error: Error) => (told.error = error.message));
  await trainer.close();
  return told;
}

test("a bad row in the midst: the steps before it are saved, and a run that skips it goes on as if it always had", async () => {
  const data = `training.datasets=[{path: ${rows(37)}}]`;
  const skipping = [data, "training.on_bad_row=skip"];
  const whole = await run("whole", skipping);
  assert.equal(whole.error, undefined);
  const failed = await run("failed", [data]);
  assert.match(failed.error!, /bad-37\.jsonl:38: not JSON: /);
  const done = failed.losses.length;
  assert.ok(done > 0 && done < 12, `${done} steps`);
  assert.match(
    failed.notes.at(-1)!,
    new RegExp(`^step ${done} is saved before the run ends: .*step-${done}$`),
  );
  const resumed = await run("failed", skipping);
  assert.deepEqual([...failed.losses, ...resumed.losses], whole.losses);
});

test("data that is rewritten in the midst: what was learned is saved, and nothing of the new content is trained or kept", async () => {
  const file = join(folder, "rewritten.jsonl");
  const lines = (word: string): string =>
    Array.from(
      { length: 2000 },
      (_, i) => `${JSON.stringify({ prompt: `${i}?`, completion: `${word} ${i}` })}\n`,
    ).join("");
  const options = [
    `training.datasets=[{path: ${file}}]`,
    "training.local_batch_size=50",
    "training.global_batch_size=50",
  ];
  writeFileSync(file, lines("one"));
  const undisturbed = await run("undisturbed", options);
  assert.equal(undisturbed.error, undefined);

  writeFileSync(file, lines("six"));
  const failed = await run("rewritten", options, (trainer) => {
    const step = trainer.trainStep.bind(trainer);
    let steps = 0;
    trainer.trainStep = async () => {
      if (++steps === 3) writeFileSync(file, lines("one"));
      return await step();
    };
  });
  assert.match(
    failed.error!,
    /rewritten\.jsonl was changed while it is read, so rows would be taken from the wrong places/,
  );
  const done = failed.losses.length;
  assert.ok(done >= 2 && done < 12, `${done} steps`);
  assert.match(
    failed.notes.at(-1)!,
    new RegExp(`^step ${done} is saved before the run ends: .*step-${done}$`),
  );

  // The rows that were read before are kept for the content that they are of.
  writeFileSync(file, lines("six"));
  const resumed = await run("rewritten", options);
  assert.equal(resumed.error, undefined);
  const fresh = await run("fresh", [...options, "training.data_seed=42"]);
  assert.deepEqual([...failed.losses, ...resumed.losses], fresh.losses);
  assert.notDeepEqual(fresh.losses, undisturbed.losses);
  writeFileSync(file, lines("one"));
  assert.deepEqual((await run("again", options)).losses, undisturbed.losses);
});

test("held-out data that can't be used is found before the first step, in its own words", async () => {
  const file = (name: string, ...lines: object[]): string => {
    writeFileSync(join(folder, name), lines.map((line) => JSON.stringify(line)).join("\n"));
    return join(folder, name);
  };
  const good = { prompt: "What?", completion: "That." };
  for (const [name, dataset, message] of [
    ["bad", `{path: ${rows(50)}}`, /bad-50\.jsonl:51: not JSON: .*training\.on_bad_row: skip/],
    [
      "columns",
      `{path: ${file("columns.jsonl", { question: "x" })}}`,
      /^eval\.datasets\[0\]: no known format fits the columns question/,
    ],
    [
      "empty",
      `{path: ${file("one.jsonl", good)}, split: 'train[50%:50%]'}`,
      /^eval\.datasets\[0\]: .*one\.jsonl has no rows in train\[50%:50%\]/,
    ],
    [
      "labels",
      `{path: ${file("labels.jsonl", { input_ids: [1, 2, 3], labels: [-100, -100, -100] })}}`,
      /^eval\.datasets: none of its 1 rows can be trained/,
    ],
  ] as const) {
    const config = Config.fromYaml(path, {
      overrides: [`job.name=held-out-${name}`, `eval.datasets=[${dataset}]`],
    });
    await assert.rejects(Trainer.create(config), { name: "UserError", message });
    const info = JSON.parse(
      readFileSync(join(folder, "outputs", `held-out-${name}`, "run.json"), "utf8"),
    ) as { status: string };
    assert.equal(info.status, "failed");
  }
  const skipping = await run("held-out", [`eval.datasets=[{path: ${rows(50)}}]`, "training.on_bad_row=skip"]);
  assert.deepEqual([skipping.error, skipping.losses.length], [undefined, 12]);
});

test("a run is done also where run.json can't be written any more", async () => {
  const told = await run("full", [], ({ run: { path } }) =>
    mkdirSync(join(path, `run.json.${process.pid}.tmp`)),
  );
  assert.equal(told.error, undefined);
  assert.match(told.notes.at(-1)!, /^run\.json is not written: /);
  assert.match(readFileSync(join(folder, "outputs", "full", "run.json"), "utf8"), /"status": "running"/);
});
