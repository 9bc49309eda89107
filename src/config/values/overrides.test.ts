import assert from "node:assert/strict";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Config } from "../config.ts";
import { launcherOverrides } from "./overrides.ts";
import { model, problemsOf } from "../testing.ts";

const create = (...overrides: string[]) =>
  Config.create(
    { model, training: { seq_len: 64, datasets: [{ path: "a" }, { path: "b" }] } },
    { overrides },
  );

test("an override sets a value, read as YAML", () => {
  assert.equal(create("optimizer.lr=1e-5").optimizer.lr, 1e-5);
  assert.equal(create("training.deterministic=true").training.deterministic, true);
  assert.equal(create("training.seed=7").training.seed, 7);
  assert.equal(create("training.seed=7", "training.seed=null").training.seed, null);
  assert.deepEqual(
    create("checkpoint.exclude_from_loading=[optimizer, dataloader]").checkpoint.exclude_from_loading,
    ["optimizer", "dataloader"],
  );
  assert.equal(create("training.datasets=[{path: c, split: test}]").training.datasets[0]!.split, "test");
  assert.equal(create("model.hf_assets_path=hf://org/name").model.hf_assets_path, "hf://org/name");
});

test("a key that wants text keeps the text", () => {
  assert.equal(create("job.name=2026").job.name, "2026");
  assert.equal(create("job.name=null").job.name, null);
  assert.equal(create("job.description=a=b: c").job.description, "a=b: c");
  assert.equal(create("training.datasets=[]", "training.dataset=123").training.dataset, "123");
});

test("a # is a part of text, and the home folder of a path", () => {
  assert.equal(create("job.dump_folder=/x/y #2").job.dump_folder, "/x/y #2");
  assert.equal(create("job.description=#1 of 3").job.description, "#1 of 3");
  assert.equal(create('job.description="quoted" # told').job.description, "quoted");
  assert.equal(create("training.steps=7 # few").training.steps, 7);
  const home = process.env["HOME"] || homedir();
  assert.equal(create("job.dump_folder=~/runs").job.dump_folder, join(home, "runs"));
  assert.equal(create("checkpoint.folder=$HOME/saved").checkpoint.folder, join(home, "saved"));
  assert.equal(create("checkpoint.folder=~other/saved").checkpoint.folder, "~other/saved");
});

test("keys written as options, and keys of other tools, get the right form", () => {
  const said = (override: string) => problemsOf(() => create(override));
  assert.deepEqual(said("--training.steps=7"), [
    "--training.steps=7: keys are written without dashes: training.steps=7",
  ]);
  for (const [name, key] of Object.entries({
    learning_rate: "optimizer.lr",
    per_device_train_batch_size: "training.local_batch_size",
    max_seq_length: "training.seq_len",
    "training.max_grad_norm": "training.max_norm",
  }))
    assert.deepEqual(said(`${name}=1`), [`${name} is not a key; did you mean ${key}?`]);
  assert.deepEqual(said("gradient_accumulation_steps=4"), [
    "gradient_accumulation_steps is not a key; give training.global_batch_size, from which it follows",
  ]);
  for (const name of ["num_train_epochs", "training.num_train_epochs", "epochs"])
    assert.deepEqual(said(`${name}=3`), [`${name} is not a key; did you mean training.epochs?`]);
});

test("max_norm null turns clipping off", () => {
  const config = create("training.max_norm=null");
  assert.deepEqual([config.training.max_norm, config.spec.maxNorm], [null, Infinity]);
});

test("list entries and mappings can be reached", () => {
  assert.equal(create("training.datasets[1].split=test").training.datasets[1]!.split, "test");
  assert.equal(create("training.datasets.1.split=test").training.datasets[1]!.split, "test");
  assert.deepEqual(create("training.datasets[0].columns.instruction=q").training.datasets[0]!.columns, {
    instruction: "q",
  });
  assert.equal(create("training.datasets[2].path=c").training.datasets.length, 3);
  assert.equal(create("~training.datasets[0]").training.datasets[0]!.path, "b");
});

test("~key takes a key or a section back to its defaults", () => {
  assert.equal(create("~training.seq_len").training.seq_len, 2048);
  assert.equal(create("~training").training.datasets.length, 0);
  assert.equal(create("~training.seed").training.seed, null);
});

test("overrides that make no sense are refused, all at once", () => {
  assert.deepEqual(
    problemsOf(() =>
      create(
        "training.stepz=1",
        "~training.stepz",
        "training.steps",
        "+training.steps=5",
        "~training.steps=5",
        "training.datasets[5].path=x",
        "training.steps.more=1",
        "=5",
      ),
    ),
    [
      "training.stepz is not a key; did you mean training.steps?",
      "training.stepz is not a key; did you mean training.steps?",
      '"training.steps": expected key=value or ~key, e.g. training.steps=100 or ~training.seed',
      "+training.steps=5: the + is not needed; write training.steps=5",
      "~training.steps=5: ~ takes no value; write ~training.steps",
      "training.datasets[5].path: training.datasets has no entry 5 (it has 2); give the whole list, e.g. 'training.datasets=[{path: data.jsonl}]'",
      "training.steps.more is not a key; did you mean training.steps?",
      '"=5": expected key=value or ~key, e.g. training.steps=100 or ~training.seed',
    ],
  );
});

test("a launcher's WORLD_SIZE stands for processes.procs", () => {
  assert.deepEqual(launcherOverrides({ RANK: "0", WORLD_SIZE: "4" }), ["processes.procs=4"]);
  assert.deepEqual(launcherOverrides({ WORLD_SIZE: "4" }), []);
  assert.deepEqual(launcherOverrides({ RANK: "0", WORLD_SIZE: "" }), []);
  assert.deepEqual(launcherOverrides({}), []);
});
