import { checkpointChecks } from "./checkpoint.ts";
import { tryChecks } from "./testing.ts";

tryChecks(checkpointChecks, {
  refused: [
    [
      { checkpoint: { keep_best: true } },
      "checkpoint.keep_best (true) needs eval.eval_every_n_steps (null): without it the run is evaluated once, at its end; set it, e.g. to 100, beside eval.datasets",
      [["eval.eval_every_n_steps=100", "eval.datasets=[{path: heldout.jsonl}]"]],
    ],
    [
      {
        checkpoint: { keep_best: true, load_only: true },
        eval: { eval_every_n_steps: 5, datasets: [{ path: "a.jsonl" }] },
      },
      "checkpoint.keep_best (true) keeps a checkpoint, but checkpoint.load_only (true) forbids saving; change one of them",
      [["~checkpoint.load_only"], ["~checkpoint.keep_best"]],
    ],
    [
      { checkpoint: { keep_latest_k: 1 } },
      "checkpoint.keep_latest_k: 1 is refused, because a save that fails would leave no checkpoint; use 2 or more, or 0 to keep all",
      [["checkpoint.keep_latest_k=2"], ["checkpoint.keep_latest_k=0"]],
    ],
    [
      { checkpoint: { export_dtype: "bfloat16", last_save_in_hf: false } },
      "checkpoint.export_dtype (bfloat16) needs checkpoint.last_save_in_hf or checkpoint.last_save_model_only (both false): a checkpoint to resume from keeps the full precision; set one of them to true",
      [["checkpoint.last_save_in_hf=true"], ["checkpoint.last_save_model_only=true"]],
    ],
    [
      { checkpoint: { export: ["gguf:Q4_K_M"], last_save_in_hf: false } },
      "checkpoint.export ([gguf:Q4_K_M]) is made of the exported model, which this run doesn't write: it needs checkpoint.last_save_in_hf: true, checkpoint.enable: true and checkpoint.load_only: false",
      [["checkpoint.last_save_in_hf=true"], ["checkpoint.export=[]"]],
    ],
    [
      { checkpoint: { export: ["gguf:F16"] }, adapter: { method: "lora" } },
      "checkpoint.export ([gguf:F16]) writes whole models, and adapter.method (lora) trains an adapter: set it to [], then `npx torchforge merge --adapter ADAPTER --output-dir MODEL` and `npx torchforge export MODEL --output-dir DIR` make the files",
      [["checkpoint.export=[]"]],
    ],
    [
      { checkpoint: { load_step: 5, enable: false } },
      "checkpoint.load_step (5) needs checkpoint.enable (false), without which nothing is resumed; set it to true",
      [["checkpoint.enable=true"]],
    ],
    [
      { checkpoint: { load_step: 1000 } },
      "checkpoint.load_step (1000) must be less than training.steps (1000), or there is nothing left to train; raise training.steps",
      [["training.steps=2000"]],
    ],
    [
      { checkpoint: { enable: false, enable_first_step_checkpoint: true } },
      "checkpoint.enable_first_step_checkpoint (true) saves a checkpoint, but checkpoint.enable (false) forbids saving; change one of them",
      [["checkpoint.enable=true"], ["checkpoint.enable_first_step_checkpoint=false"]],
    ],
    [
      { processes: { procs: 2 }, checkpoint: { create_seed_checkpoint: true } },
      "checkpoint.create_seed_checkpoint (true) needs processes.procs: 1, found 2; make the seed checkpoint in one process and start the run from it",
      [["processes.procs=1"]],
    ],
  ],
  warned: [
    [
      { checkpoint: { initial_load_in_hf: false } },
      "checkpoint.initial_load_in_hf is false and checkpoint.initial_load_path is null: the run starts from random weights",
      [
        ["checkpoint.initial_load_in_hf=true"],
        ["checkpoint.initial_load_path=outputs/run/checkpoint/step-100"],
      ],
    ],
  ],
});
