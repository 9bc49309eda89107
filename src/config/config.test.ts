import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";

import { UserError } from "../util/index.ts";
import { Config } from "./config.ts";
import { ConfigError } from "./rules/problems.ts";
import { model, problemsOf } from "./testing.ts";

test("defaults are the recipe's, and torchtitan's where the recipe has none", () => {
  const config = Config.create({ model });
  assert.equal(config.optimizer.lr, 1e-5);
  assert.equal(config.optimizer.eps, 1e-8);
  assert.equal(config.optimizer.beta2, 0.95);
  assert.equal(config.lr_scheduler.warmup_steps, 200);
  assert.equal(config.training.seq_len, 2048);
  assert.equal(config.training.steps, 1000);
  assert.equal(config.parallelism.data_parallel_shard_degree, -1);
  assert.equal(config.checkpoint.interval, 500);
  assert.equal(config.checkpoint.keep_latest_k, 10);
  assert.equal(config.activation_checkpoint.mode, "selective");
  assert.equal(config.comm.init_timeout_seconds, 300);
  assert.deepEqual(config.warnings, []);
});

test("defaults that hang on other keys follow them, and give way to what is written", () => {
  const short = Config.create({ model, training: { steps: 10 } });
  assert.equal(short.lr_scheduler.warmup_steps, 2);
  assert.equal(short.training.mixed_precision_param, "float32");
  assert.equal(short.training.dataset, null);
  const other = Config.create({
    model,
    processes: { with_gpus: true },
    training: { steps: 10, datasets: [{ path: "data.jsonl" }] },
    lr_scheduler: { warmup_steps: 5 },
  });
  assert.equal(other.lr_scheduler.warmup_steps, 5);
  assert.equal(other.training.mixed_precision_param, "bfloat16");
  assert.deepEqual(other.training.datasets, [
    { path: "data.jsonl", subset: null, split: "train", format: "auto", columns: {} },
  ]);
});

test("the caller's object is never changed, and later changes of it do not reach the configuration", () => {
  const sections = {
    model: { ...model },
    training: { datasets: [{ path: "a.jsonl" }] },
    processes: { procs: 1 },
  };
  const before = structuredClone(sections);
  const config = Config.create(sections, {
    overrides: ["training.steps=7", "training.datasets[0].split=test"],
  });
  assert.deepEqual(sections, before);
  sections.training.datasets[0]!.path = "b.jsonl";
  assert.equal(config.training.datasets[0]!.path, "a.jsonl");
  assert.equal(config.with({ training: { seq_len: 64 } }).training.datasets[0]!.path, "a.jsonl");
});

test("a configuration is frozen through and through", () => {
  const config = Config.create({ model, training: { datasets: [{ path: "a" }] } });
  assert.throws(() => Object.assign(config.training, { steps: 3 }), TypeError);
  assert.throws(() => Object.assign(config.training.datasets[0]!, { path: "b" }), TypeError);
  assert.throws(() => Object.assign(config, { training: {} }), TypeError);
});

test("what is assigned is refused with how it is done; a misspelled section is named", () => {
  const config = Config.create({ model });
  const refused = (assign: () => unknown, message: string) =>
    assert.throws(assign, { name: "TypeError", message });
  refused(
    () => Object.assign(config.training, { steps: 3 }),
    'training.steps: a configuration doesn\'t change; make another one: const next = config.with(["training.steps=3"])',
  );
  refused(
    () => Object.assign(config, { training: { steps: 3 } }),
    "training: a configuration doesn't change; make another one: const next = config.with({ training: { … } })",
  );
  assert.equal(config.with(["training.steps=3"]).training.steps, 3);
  const read = (name: string): unknown => (config as unknown as Record<string, unknown>)[name];
  assert.throws(() => read("trainin"), {
    name: "UserError",
    message: "config.trainin: there is no such section; did you mean config.training?",
  });
  refused(
    () => Object.assign(config, { trainin: { steps: 3 } }),
    "config.trainin: there is no such section; did you mean config.training? A configuration doesn't change; config.with makes another one",
  );
  refused(
    () => Object.assign(config, { extra: 3 }),
    "config.extra: there is no such section. A configuration doesn't change; config.with makes another one",
  );
  assert.throws(() => read("validation"), /there is no such section; validation is not supported; use eval/);
  assert.equal(read("then"), undefined);
  assert.equal(config instanceof Object, true);
  assert.match(inspect(config.training), /^\{\n? +local_batch_size: 1,/);
  assert.deepEqual(structuredClone(config.job), { ...config.job });
});

test("an unknown key is refused with its full name and the nearest key", () => {
  const cases: [object, string][] = [
    [{ training: { sequence_len: 4 } }, "training.sequence_len is not a key; did you mean training.seq_len?"],
    [{ training: { seqLen: 4 } }, "training.seqLen is not a key; did you mean training.seq_len?"],
    [{ training: { lr: 1e-4 } }, "training.lr is not a key; did you mean optimizer.lr?"],
    [{ trainin: { lr: 1e-4 } }, "trainin is not a key; did you mean training?"],
    [{ seq_len: 4 }, "seq_len is not a key; did you mean training.seq_len?"],
    [
      { training: { datasets: [{ path: "a" }, { path: "b", splt: "test" }] } },
      "training.datasets[1].splt is not a key; did you mean training.datasets[1].split?",
    ],
    [
      { processes: { quux: 1 } },
      "processes.quux is not a key; the keys of processes are: procs, with_gpus, max_restarts",
    ],
  ];
  for (const [sections, message] of cases) {
    assert.deepEqual(
      problemsOf(() => Config.create({ model, ...sections })),
      [message],
    );
  }
});

test("a key named __proto__ is an unknown key, and pollutes nothing", () => {
  const sections = JSON.parse('{"training": {"__proto__": {"steps": 5}}}') as object;
  const [message] = problemsOf(() => Config.create({ model, ...sections }));
  assert.match(message!, /^training\.__proto__ is not a key/);
  assert.match(
    problemsOf(() => Config.create({ model }, { overrides: ["__proto__.steps=5"] }))[0]!,
    /^__proto__\.steps is not a key/,
  );
  assert.equal(({} as { steps?: number }).steps, undefined);
});

test("a file with 200,000 unknown keys is answered in lines that can be read", () => {
  assert.throws(
    () =>
      Config.fromYaml("training:\n" + Array.from({ length: 20_000 }, (_, i) => `  key${i}: 1\n`).join("")),
    {
      message:
        "yaml: expected a configuration of at most 256 KiB, found 263 KiB. Is it the right file? Rows and long texts belong into files of their own, which the configuration names.",
    },
  );
  const training = Object.fromEntries(Array.from({ length: 200_000 }, (_, i) => [`key${i}`, 1]));
  assert.throws(
    () => Config.create({ model, training }),
    (error: ConfigError) => {
      const lines = error.message.split("\n");
      assert.equal(lines[0], "200000 problems in the configuration:");
      assert.equal(lines.length, 52);
      assert.equal(lines.at(-1), "  … and 199950 more");
      assert.equal(error.problems.length, 200_000);
      return true;
    },
  );
});

const manyMistakes = () =>
  Config.create({
    optimizer: { name: "adamw" },
    training: { steps: 0, dtype: "fp16", local_batch_size: 2, global_batch_size: 3, stepz: 1 },
    checkpoint: { keep_latest_k: 1 },
  } as never);

test("all problems are reported at once, in the order of the schema, with exit code 2", () => {
  assert.throws(manyMistakes, (error: unknown) => {
    assert.ok(error instanceof ConfigError && error instanceof UserError);
    assert.equal(error.exitCode, 2);
    assert.match(error.message, /^7 problems in the configuration:\n {2}- model\.hf_assets_path is missing/);
    return true;
  });
  assert.deepEqual(problemsOf(manyMistakes), [
    "model.hf_assets_path is missing, and has no default. The model: a folder with config.json, tokenizer.json, tokenizer_config.json and safetensors weights, or hf://org/name for a model of the Hugging Face hub.",
    'optimizer.name: expected one of AdamW, Adam, found "adamw"; did you mean AdamW?',
    "training.stepz is not a key; did you mean training.steps?",
    "training.global_batch_size (3) must be a multiple of training.local_batch_size (2) × parallelism.data_parallel_replicate_degree (1) × parallelism.data_parallel_shard_degree (1) = 2; the quotient is the number of accumulation steps",
    "training.steps: expected a whole number of at least 1, found 0",
    'training.dtype: expected one of float32, bfloat16, found "fp16"',
    "checkpoint.keep_latest_k: 1 is refused, because a save that fails would leave no checkpoint; use 2 or more, or 0 to keep all",
  ]);
});

test("a wrong value says what was expected and found, and how to mend it", () => {
  const cases: [object, string][] = [
    [
      { training: { steps: "10" } },
      'training.steps: expected a whole number of at least 1, found "10"; write the number without quotes',
    ],
    [
      { training: { packed: "yes" } },
      'training.packed: expected true or false, found "yes"; write true or false, without quotes',
    ],
    [{ optimizer: { beta1: 1 } }, "optimizer.beta1: expected a number of at least 0 and below 1, found 1"],
    [
      { training: { global_batch_size: 0 } },
      "training.global_batch_size: expected a whole number of at least 1, or -1, found 0",
    ],
    [{ training: { seed: 1.5 } }, "training.seed: expected a whole number of at least 0, or null, found 1.5"],
    [{ training: 5 }, "training: expected a section with keys, found 5"],
    [{ job: { name: 2026 } }, 'job.name: expected text, or null, found 2026; put it in quotes: "2026"'],
    [
      { checkpoint: { exclude_from_loading: ["optimiser"] } },
      'checkpoint.exclude_from_loading[0]: expected an entry of a list of: one of optimizer, lr_scheduler, dataloader, train_state, found "optimiser"; did you mean optimizer?',
    ],
    [
      { training: { datasets: [{ path: "a", split: "train[5]" }] } },
      'training.datasets[0].split: expected a split such as train, or part of one such as train[:95%] or train[100:200], found "train[5]"',
    ],
    [
      { training: { datasets: [{}] } },
      "training.datasets[0].path is missing, and has no default. A JSONL, JSON, Parquet or CSV file, a folder of such files, or a data set of the Hugging Face hub (org/name or hf://org/name).",
    ],
  ];
  for (const [sections, message] of cases) {
    assert.deepEqual(
      problemsOf(() => Config.create({ model, ...sections })),
      [message],
    );
  }
});

test("what is no plain data is refused with its key", () => {
  assert.throws(
    () => Config.create({ model, training: { steps: new Map() } } as never),
    /^UserError: training\.steps: expected plain data \(text, numbers, lists, objects\), found Map$/,
  );
  assert.throws(
    () => Config.create([] as never),
    /expected an object of sections, e\.g\. \{model: \{hf_assets_path: …\}, training: \{…\}\}, found a list$/,
  );
});

test("what isn't sections or overrides is refused, and a number that is none is shown as it is", () => {
  const config = Config.create({ model });
  assert.throws(
    () => config.with("training.steps=5" as never),
    /^UserError: with\(\): expected sections, .* or a list of overrides, such as \["training\.steps=100"\]; found "training\.steps=5"$/,
  );
  assert.throws(() => Config.create({ model, training: { steps: NaN } }), /at least 1, found NaN$/);
  assert.throws(
    () => Config.create({ model, "training.steps": 5 } as never),
    /"training\.steps" is one name here; write the section with its key in it: training: \{ steps: … \}$/,
  );
});

test("selective_ac_option takes a number, and a number as text", () => {
  for (const option of [2, "2" as never]) {
    const config = Config.create({ model, activation_checkpoint: { selective_ac_option: option } });
    assert.equal(config.activation_checkpoint.selective_ac_option, 2);
  }
});

test("a resolved configuration goes through plain data and YAML unchanged", () => {
  const config = Config.create({
    model: { hf_assets_path: "hf://org/name" },
    training: { steps: 20, datasets: [{ path: "a.jsonl", columns: { instruction: "q" } }] },
    eval: { eval_every_n_steps: 5, datasets: [{ path: "b.jsonl", split: "train[95%:]" }] },
  });
  assert.ok(Config.create(config.toObject()).equals(config));
  assert.ok(Config.create(config).equals(config));
  assert.ok(Config.create(JSON.parse(JSON.stringify(config)) as never).equals(config));
  for (const options of [{}, { markDefaults: true }, { onlyChanges: true }]) {
    assert.ok(Config.fromYaml(config.toYaml(options)).equals(config), JSON.stringify(options));
  }
});

test("YAML marks what differs from the defaults", () => {
  const config = Config.create({ model, training: { steps: 20, datasets: [{ path: "a.jsonl" }] } });
  const yaml = config.toYaml({ markDefaults: true });
  assert.match(yaml, /^ {2}steps: 20 # default: 1000$/m);
  assert.match(yaml, /^ {2}hf_assets_path: assets # no default$/m);
  assert.match(yaml, /^ {2}seq_len: 2048$/m);
  assert.match(yaml, /^ {2}datasets: # default: \[\]$/m);
  // Both follow from the keys above.
  assert.match(yaml, /^ {2}warmup_steps: 4$/m);
  assert.match(yaml, /^ {2}dataset: null$/m);
  assert.equal(
    config.toYaml({ onlyChanges: true }),
    [
      "model:",
      "  hf_assets_path: assets",
      "training:",
      "  steps: 20",
      "  datasets:",
      "    - path: a.jsonl",
      "      subset: null",
      "      split: train",
      "      format: auto",
      "      columns: {}",
      "",
    ].join("\n"),
  );
});

test("with merges sections or overrides into what was given, and dependent defaults follow", () => {
  const config = Config.create({ model, training: { steps: 20, seq_len: 64 } });
  const changed = config.with({ training: { steps: 500 } });
  assert.equal(changed.training.seq_len, 64);
  assert.equal(changed.lr_scheduler.warmup_steps, 100);
  assert.equal(config.with(["training.steps=50", "~training.seq_len"]).training.seq_len, 2048);
  assert.equal(config.training.steps, 20);
  assert.deepEqual(config.diff(changed), [
    { key: "lr_scheduler.warmup_steps", before: 4, after: 100 },
    { key: "training.steps", before: 20, after: 500 },
  ]);
  assert.ok(config.equals(Config.create(config)));
});

test("YAML problems are given with file, line and column; overrides as overrides", () => {
  const folder = mkdtempSync(join(tmpdir(), "forge-config-"));
  try {
    const file = join(folder, "sft.yaml");
    writeFileSync(
      file,
      "model:\n  hf_assets_path: assets\ntraining:\n  seq_len: 0\n  datasets:\n    - path: a\n      splt: b\n",
    );
    assert.throws(() => Config.fromYaml(file, ["training.steps=x"]), {
      message: [
        "3 problems in the configuration:",
        `  - ${file}:4:3: training.seq_len: expected a whole number of at least 1, found 0`,
        '  - override: training.steps: expected a whole number of at least 1, found "x"',
        `  - ${file}:7:7: training.datasets[0].splt is not a key; did you mean training.datasets[0].split?`,
      ].join("\n"),
    });
    writeFileSync(file, "model:\n  hf_assets_path: [a\ntraining: {}\n");
    assert.throws(
      () => Config.fromYaml(file),
      (error: unknown) => {
        assert.ok(error instanceof UserError);
        assert.equal(error.exitCode, 2);
        assert.ok(error.message.startsWith(`${file}:3:1: Flow sequence`), error.message);
        return true;
      },
    );
    writeFileSync(file, "model: {hf_assets_path: a}\nmodel: {hf_assets_path: b}\n");
    assert.throws(() => Config.fromYaml(file), { message: `${file}:2:1: Map keys must be unique` });
    assert.throws(
      () => Config.fromYaml(join(folder, "none.yaml")),
      (error: unknown) => {
        assert.ok(error instanceof UserError);
        assert.equal(error.exitCode, 2);
        assert.match(
          error.message,
          /^can't read the configuration .*none\.yaml: ENOENT.*recipes\/smollm2_135m\.yaml$/,
        );
        return true;
      },
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("YAML numbers: 1e-5 is a number; empty sections and empty files have defaults", () => {
  const config = Config.fromYaml("model:\n  hf_assets_path: assets\noptimizer:\n  lr: 1e-5\ntraining:\n");
  assert.equal(config.optimizer.lr, 1e-5);
  assert.equal(config.training.steps, 1000);
  assert.deepEqual(
    problemsOf(() => Config.fromYaml("\n")).map((message) => message.split(",")[0]),
    ["model.hf_assets_path is missing"],
  );
});

test("console.log and a notebook show YAML", () => {
  const config = Config.create({ model, training: { steps: 20 } });
  assert.match(inspect(config), /^job:\n[^]*^ {2}steps: 20 # default: 1000$/m);
  const display = (config as unknown as Record<symbol, () => Record<string, string>>)[
    Symbol.for("Jupyter.display")
  ]!;
  assert.equal(display.call(config)["text/plain"], String(config));
});

void test("anchors and objects that contain themselves, names of Object.prototype and unknown tags are refused in words", () => {
  const base = "model: {hf_assets_path: model}\ntraining: {dataset: rows.jsonl}\n";
  const refused = (message: RegExp, make: () => Config): void => {
    assert.throws(make, (error: Error) => error instanceof UserError && message.test(error.message));
  };
  refused(/an alias \(\*name\) stands within its own anchor/, () =>
    Config.fromYaml(`${base}job: &a {name: *a}\n`),
  );
  refused(/checkpoint\.load_step/, () => Config.fromYaml(base, ["checkpoint.load_step=&a [*a]"]));
  const loop: { name?: unknown } = {};
  loop.name = loop;
  refused(/job\.name\.name: is nested too deeply, or contains itself/, () =>
    Config.create({ job: loop as never }),
  );
  for (const name of ["constructor", "__proto__", "toString"])
    refused(new RegExp(`refers to ${name}, which is not a key`), () =>
      Config.fromYaml(base, [`job.name=\${${name}}`]),
    );
  refused(/optimizer\.lr: .*found "!!js x"/, () => Config.fromYaml(base, ["optimizer.lr=!!js x"]));
});
