// What is saved, kept, exported and resumed.
import { type Check, when } from "./check.ts";

export const checkpointChecks: readonly Check[] = [
  {
    keys: ["checkpoint.keep_latest_k"],
    severity: "error",
    rule: "checkpoint.keep_latest_k must not be 1",
    run: ({ checkpoint: c }) =>
      when(
        c.keep_latest_k === 1,
        () =>
          "checkpoint.keep_latest_k: 1 is refused, because a save that fails would leave no checkpoint; use 2 or more, or 0 to keep all",
      ),
  },
  {
    keys: ["checkpoint.keep_best", "eval.eval_every_n_steps", "checkpoint.enable", "checkpoint.load_only"],
    severity: "error",
    rule: "checkpoint.keep_best needs evaluations during the run and checkpoints that are saved",
    run: ({ checkpoint: c, eval: e }) => [
      ...when(
        c.keep_best && e.eval_every_n_steps === null,
        () =>
          "checkpoint.keep_best (true) needs eval.eval_every_n_steps (null): without it the run is evaluated once, at its end; set it, e.g. to 100, beside eval.datasets",
      ),
      ...when(
        c.keep_best && (!c.enable || c.load_only),
        () =>
          `checkpoint.keep_best (true) keeps a checkpoint, but ${c.enable ? "checkpoint.load_only (true)" : "checkpoint.enable (false)"} forbids saving; change one of them`,
      ),
    ],
  },
  {
    keys: ["checkpoint.export_dtype", "checkpoint.last_save_in_hf", "checkpoint.last_save_model_only"],
    severity: "error",
    rule: "checkpoint.export_dtype other than float32 needs an export: checkpoint.last_save_in_hf or last_save_model_only",
    run: ({ checkpoint: c }) =>
      when(
        c.export_dtype !== "float32" && !c.last_save_in_hf && !c.last_save_model_only,
        () =>
          `checkpoint.export_dtype (${c.export_dtype}) needs checkpoint.last_save_in_hf or checkpoint.last_save_model_only (both false): a checkpoint to resume from keeps the full precision; set one of them to true`,
      ),
  },
  {
    keys: [
      "checkpoint.export",
      "checkpoint.last_save_in_hf",
      "checkpoint.enable",
      "checkpoint.load_only",
      "adapter.method",
    ],
    severity: "error",
    rule: "checkpoint.export needs the whole model's export: checkpoint.last_save_in_hf, and no adapter",
    run: ({ checkpoint: c, adapter: a }) => [
      ...when(
        c.export.length > 0 && a.method !== "none",
        () =>
          `checkpoint.export ([${c.export.join(", ")}]) writes whole models, and adapter.method (${a.method}) trains an adapter: set it to [], then \`npx torchforge merge --adapter ADAPTER --output-dir MODEL\` and \`npx torchforge export MODEL --output-dir DIR\` make the files`,
      ),
      ...when(
        c.export.length > 0 && (!c.last_save_in_hf || !c.enable || c.load_only),
        () =>
          `checkpoint.export ([${c.export.join(", ")}]) is made of the exported model, which this run doesn't write: it needs checkpoint.last_save_in_hf: true, checkpoint.enable: true and checkpoint.load_only: false`,
      ),
    ],
  },
  {
    keys: ["checkpoint.load_step", "checkpoint.enable"],
    severity: "error",
    rule: "checkpoint.load_step needs checkpoint.enable",
    run: ({ checkpoint: c }) =>
      when(
        c.load_step !== -1 && !c.enable,
        () =>
          `checkpoint.load_step (${c.load_step}) needs checkpoint.enable (false), without which nothing is resumed; set it to true`,
      ),
  },
  {
    keys: ["checkpoint.load_step", "training.steps"],
    severity: "error",
    rule: "checkpoint.load_step must be less than training.steps",
    run: ({ checkpoint: c }, { steps }) =>
      when(
        c.load_step >= steps,
        () =>
          `checkpoint.load_step (${c.load_step}) must be less than training.steps (${steps}), or there is nothing left to train; raise training.steps`,
      ),
  },
  {
    keys: [
      "checkpoint.load_only",
      "checkpoint.enable_first_step_checkpoint",
      "checkpoint.create_seed_checkpoint",
      "checkpoint.enable",
    ],
    severity: "error",
    rule: "checkpoint.enable_first_step_checkpoint and create_seed_checkpoint save, and checkpoint.enable or load_only must allow it",
    run: ({ checkpoint: c }) =>
      (["enable_first_step_checkpoint", "create_seed_checkpoint"] as const)
        .filter((name) => c[name] && (!c.enable || c.load_only))
        .map((name) => ({
          path: ["checkpoint", name],
          message: `checkpoint.${name} (true) saves a checkpoint, but ${c.enable ? "checkpoint.load_only (true)" : "checkpoint.enable (false)"} forbids saving; change one of them`,
        })),
  },
  {
    keys: ["checkpoint.create_seed_checkpoint", "processes.procs"],
    severity: "error",
    rule: "checkpoint.create_seed_checkpoint needs one process",
    run: ({ checkpoint: c, processes: p }) =>
      when(
        c.create_seed_checkpoint && p.procs !== 1,
        () =>
          `checkpoint.create_seed_checkpoint (true) needs processes.procs: 1, found ${p.procs}; make the seed checkpoint in one process and start the run from it`,
      ),
  },
  {
    keys: ["checkpoint.initial_load_in_hf", "checkpoint.initial_load_path"],
    severity: "warning",
    rule: "without Hugging Face weights and without checkpoint.initial_load_path a run starts from random weights",
    run: ({ checkpoint: c }) =>
      when(
        !c.initial_load_in_hf && c.initial_load_path === null,
        () =>
          "checkpoint.initial_load_in_hf is false and checkpoint.initial_load_path is null: the run starts from random weights",
      ),
  },
];
