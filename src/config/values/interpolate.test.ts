import assert from "node:assert/strict";
import { test } from "node:test";

import { Config } from "../config.ts";
import type { ConfigInput } from "../schema/schema.ts";
import { model, problemsOf } from "../testing.ts";
import { configHtml } from "../text/show.ts";

const create = (sections: ConfigInput, env: Record<string, string> = {}) =>
  Config.create({ model, ...sections }, { env });

test("a whole value keeps the type of what it refers to, given or default", () => {
  const config = create({
    training: { steps: 50, local_batch_size: 2, global_batch_size: "${training.local_batch_size}" },
    checkpoint: { interval: "${training.steps}", initial_load_path: "${model.hf_assets_path}" },
    lr_scheduler: { warmup_steps: "${checkpoint.keep_latest_k}" },
  });
  assert.equal(config.training.global_batch_size, 2);
  assert.equal(config.checkpoint.interval, 50);
  assert.equal(config.checkpoint.initial_load_path, "assets");
  assert.equal(config.lr_scheduler.warmup_steps, 10);
});

test("inside text it is inserted as text, also chained", () => {
  const config = create({
    job: { name: "run-${training.steps}", description: "${job.name} at ${optimizer.lr}" },
    checkpoint: { folder: "${job.dump_folder}/${job.name}/ckpt" },
  });
  assert.equal(config.job.description, "run-1000 at 0.00001");
  assert.equal(config.checkpoint.folder, "./outputs/run-1000/ckpt");
});

test("a whole list is copied, and entries of a list are reached", () => {
  const config = create({
    training: { datasets: [{ path: "a", split: "train[:90%]" }] },
    eval: { datasets: [{ path: "${training.datasets[0].path}", split: "train[90%:]" }] },
  });
  assert.equal(config.eval.datasets[0]!.path, "a");
  assert.deepEqual(
    create({ training: { datasets: [{ path: "a" }] }, eval: { datasets: "${training.datasets}" } }).eval
      .datasets,
    config.training.datasets.map((entry) => ({ ...entry, split: "train" })),
  );
});

test("the environment is read with a default, as YAML, or as text where the key wants text", () => {
  const sections: ConfigInput = {
    training: { steps: "${oc.env:STEPS,100}" },
    job: { name: "${oc.env:NAME,${model.hf_assets_path}}" },
  };
  assert.equal(create(sections).training.steps, 100);
  assert.equal(create(sections, { STEPS: "5" }).training.steps, 5);
  assert.equal(create(sections).job.name, "assets");
  assert.equal(create(sections, { NAME: "007" }).job.name, "007");
  assert.equal(create({ job: { name: "a-${oc.env:N}-b" } }, { N: "1e3" }).job.name, "a-1e3-b");
  assert.equal(create({ training: { seed: "${oc.env:SEED,null}" } }).training.seed, null);
});

test("\\${ is plain text", () => {
  assert.equal(create({ job: { description: "\\${HOME} costs $5" } }).job.description, "${HOME} costs $5");
});

test("what can't be resolved is reported with its key, once, beside the other problems", () => {
  assert.deepEqual(
    problemsOf(() =>
      create({
        job: { name: "${job.description}", description: "${job.name}", dump_folder: "${oc.env:NO_SUCH}" },
        training: {
          steps: "${training.stepz}",
          seq_len: "${oc.dict.keys:training}",
          max_norm: "${training.steps" as never,
          local_batch_size: 0,
        },
      }),
    ),
    [
      "job.dump_folder: the environment variable NO_SUCH is not set; set it, or give a default: ${oc.env:NO_SUCH,VALUE}",
      "job.name: ${job.name} refers to itself: job.name -> job.description -> job.name",
      "job.description: ${job.description} refers to itself: job.description -> job.name -> job.description",
      "training.local_batch_size: expected a whole number of at least 1, found 0",
      "training.seq_len: ${oc.dict.keys:training} uses the resolver oc.dict.keys; only ${section.key} and ${oc.env:VAR,default} are known",
      'training.max_norm: "${training.steps" has a ${ that is never closed by }',
      "training.steps: ${training.stepz} refers to training.stepz, which is not a key; write the full name, e.g. ${training.seq_len}",
    ],
  );
});

test("a plain ${ stays plain when the configuration is written and read again", () => {
  const config = create({ job: { description: "\\${HOME}" } });
  assert.equal(Config.fromYaml(config.toYaml()).job.description, "${HOME}");
});

test("what reads the environment is written as it was given, wherever a configuration goes: it may be secret", () => {
  const secret = "hf_abcdefgh";
  const config = create(
    {
      job: { description: "run of ${oc.env:TOKEN}", name: "${job.description}", dump_folder: "\\${plain}" },
      training: { steps: "${oc.env:STEPS,100}", datasets: [{ path: "${oc.env:PLACE}/rows.jsonl" }] },
      lr_scheduler: { warmup_steps: "${training.local_batch_size}" },
    },
    { TOKEN: secret, STEPS: "50", PLACE: `/data/${secret}` },
  );
  assert.equal(config.job.name, `run of ${secret}`);
  const { given, env } = config.toTransfer();
  assert.deepEqual(env, { TOKEN: secret, STEPS: "50", PLACE: `/data/${secret}` });
  const copies = [
    config,
    Config.fromTransfer({ given, env }),
    config.with(["optimizer.lr=1e-5"]),
    Config.fromYaml(config.toYaml(), { env }),
  ];
  for (const one of copies) {
    assert.ok(one.equals(config));
    for (const text of [one.toYaml(), one.toString(), JSON.stringify(configHtml(one))])
      assert.ok(!text.includes(secret), text);
    assert.match(one.toYaml(), /^ {2}description: run of \$\{oc\.env:TOKEN\}$/m);
    assert.match(one.toYaml(), /^ {2}name: \$\{job\.description\}$/m);
    assert.match(one.toYaml(), /^ {2}dump_folder: \\\$\{plain\}$/m);
    assert.match(one.toYaml(), /^ {2}steps: \$\{oc\.env:STEPS,100\}$/m);
    assert.match(one.toYaml(), /^ +- path: \$\{oc\.env:PLACE\}\/rows\.jsonl$/m);
    assert.match(one.toYaml(), /^ {2}warmup_steps: 1$/m);
    assert.equal(one.textOf("job.description"), "run of ${oc.env:TOKEN}");
    assert.equal(one.textOf("training.seq_len"), "2048");
    assert.equal(one.textOf("checkpoint.initial_load_path"), "");
  }
});
