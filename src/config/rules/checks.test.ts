import assert from "node:assert/strict";
import { test } from "node:test";

import { checks } from "./checks.ts";
import { Config } from "../config.ts";
import { findKey } from "../schema/keys.ts";
import type { ConfigInput } from "../schema/schema.ts";
import { model, problemsOf } from "../testing.ts";

const refused = (sections: ConfigInput) =>
  problemsOf(() => Config.create({ model, ...sections }, { allowUnsupported: true }));
const warned = (sections: ConfigInput) =>
  Config.create({ model, ...sections }, { allowUnsupported: true }).warnings;

test("every check names keys of the schema", () => {
  for (const check of checks) for (const key of check.keys) assert.ok(findKey(key), key);
});

const errors: [ConfigInput, string][] = [
  [
    { processes: { procs: 8 }, parallelism: { data_parallel_shard_degree: 4, tensor_parallel_degree: 4 } },
    "parallelism.data_parallel_replicate_degree (1) × parallelism.data_parallel_shard_degree (4) × parallelism.context_parallel_degree (1) × parallelism.tensor_parallel_degree (4) × parallelism.pipeline_parallel_degree (1) = 16, but must be processes.procs (8); change a degree, or set parallelism.data_parallel_shard_degree to -1 to take what is left",
  ],
  [
    { processes: { procs: 8 }, parallelism: { tensor_parallel_degree: 3 }, training: { seq_len: 2046 } },
    "parallelism.data_parallel_replicate_degree (1) × parallelism.data_parallel_shard_degree (-1) × parallelism.context_parallel_degree (1) × parallelism.tensor_parallel_degree (3) × parallelism.pipeline_parallel_degree (1): processes.procs (8) is not divisible by 3, the product of the degrees that are not -1",
  ],
  [
    { processes: { procs: 4 }, training: { local_batch_size: 2, global_batch_size: 12 } },
    "training.global_batch_size (12) must be a multiple of training.local_batch_size (2) × parallelism.data_parallel_replicate_degree (1) × parallelism.data_parallel_shard_degree (4) = 8; the quotient is the number of accumulation steps",
  ],
  [
    { processes: { procs: 4 }, parallelism: { context_parallel_degree: 4 }, training: { seq_len: 2044 } },
    "training.seq_len (2044) must be a multiple of parallelism.tensor_parallel_degree (1) × 2 × parallelism.context_parallel_degree (4) = 8; the nearest is 2048",
  ],
  [
    { processes: { procs: 4 }, parallelism: { tensor_parallel_degree: 4 }, training: { seq_len: 30 } },
    "training.seq_len (30) must be a multiple of parallelism.tensor_parallel_degree (4) × parallelism.context_parallel_degree (1) = 4; the nearest is 32",
  ],
  [
    { processes: { procs: 4 }, parallelism: { expert_parallel_degree: 3 } },
    "parallelism.expert_parallel_degree (3) must divide parallelism.data_parallel_shard_degree (4) × parallelism.context_parallel_degree (1) = 4",
  ],
  [
    {
      processes: { procs: 4 },
      parallelism: { tensor_parallel_degree: 4, expert_tensor_parallel_degree: 2 },
    },
    "parallelism.expert_tensor_parallel_degree (2) must be 1 or parallelism.tensor_parallel_degree (4)",
  ],
  [
    {
      processes: { procs: 12 },
      parallelism: { tensor_parallel_degree: 4, expert_parallel_degree: 6 },
      training: { global_batch_size: 12 },
    },
    "parallelism.expert_parallel_degree (6) must be a multiple of parallelism.tensor_parallel_degree (4): with parallelism.expert_tensor_parallel_degree (1) experts are whole, and the ranks of a tensor group have different ones; set it to 4 to have a part of each expert on each of them",
  ],
  [
    { optimizer: { state_dtype: "int8", implementation: "foreach" } },
    "optimizer.state_dtype (int8) needs optimizer.implementation fused, found foreach: the others update with operators of libtorch, which round to the nearest alone",
  ],
  [
    { optimizer: { stochastic_rounding: true, implementation: "for-loop" }, training: { dtype: "bfloat16" } },
    "optimizer.stochastic_rounding (true) needs optimizer.implementation fused, found for-loop: the others update with operators of libtorch, which round to the nearest alone",
  ],
  [
    { optimizer: { in_backward: true }, training: { local_batch_size: 2, global_batch_size: 8 } },
    "optimizer.in_backward (true) can't accumulate: training.global_batch_size (8) with training.local_batch_size (2) makes 4 passes a step, and gradients would be kept between them; set training.global_batch_size to -1, or optimizer.in_backward to false",
  ],
  [
    {
      optimizer: { in_backward: true },
      processes: { procs: 2 },
      parallelism: { pipeline_parallel_degree: 2 },
      training: { local_batch_size: 4 },
    },
    "optimizer.in_backward (true) can't be used with parallelism.pipeline_parallel_degree (2): a stage adds up the gradients of several microbatches; set one of them back",
  ],
  [
    { comm: { backend: "nccl" }, processes: { procs: 2 } },
    "comm.backend (nccl) needs processes.with_gpus (false): NCCL moves tensors of GPUs alone; set it to auto or gloo",
  ],
  [
    { training: { steps: 100 }, lr_scheduler: { warmup_steps: 60, decay_ratio: 0.5 } },
    "lr_scheduler.decay_ratio (0.5, 50 steps) and lr_scheduler.warmup_steps (60) take 110 steps, more than training.steps (100); lower one of them, or set lr_scheduler.decay_ratio to null to decay from the end of the warm-up on",
  ],
  [
    { training: { dataset: "a.jsonl", datasets: [{ path: "b.jsonl" }] } },
    "training.dataset (a.jsonl) and training.datasets (1 entries) are both given; move the first into the list as {path: a.jsonl}, or remove one (on the command line: ~training.datasets)",
  ],
  [
    { training: { on_overlong: "split", packed: false } },
    "training.on_overlong (split) needs training.packed (false): rows that follow each other share sequences; set it to true, or training.on_overlong to truncate",
  ],
  [
    { training: { datasets: [{ path: "c4" }, { path: "a.jsonl" }] } },
    "training.stream reads one data set, and training.datasets has 2 entries; name one, or leave streaming out (c4, c4_test and c4_validation are always streamed)",
  ],
  [
    { training: { datasets: [{ path: "a", format: "alpaca", columns: { prompt: "q" } }] } },
    "training.datasets[0].columns.prompt is not a field of training.datasets[0].format alpaca; its fields: instruction, input, output, system, history, tools",
  ],
  [
    { eval: { eval_every_n_steps: 10 } },
    'eval.eval_every_n_steps (10) needs eval.datasets, which is empty; add e.g. {path: yahma/alpaca-cleaned, split: "train[95%:]"}',
  ],
  [
    { training: { dataset: "rows.jsonl", stream: true, epochs: 3 } },
    "training.epochs (3) needs to know how many rows the data has, and training.stream reads it as it comes; give training.steps in its place",
  ],
  [
    { checkpoint: { keep_best: true } },
    "checkpoint.keep_best (true) needs eval.eval_every_n_steps (null): without it the run is evaluated once, at its end; set it, e.g. to 100, beside eval.datasets",
  ],
  [
    {
      checkpoint: { keep_best: true, load_only: true },
      eval: { eval_every_n_steps: 5, datasets: [{ path: "a.jsonl" }] },
    },
    "checkpoint.keep_best (true) keeps a checkpoint, but checkpoint.load_only (true) forbids saving; change one of them",
  ],
  [
    { checkpoint: { keep_latest_k: 1 } },
    "checkpoint.keep_latest_k: 1 is refused, because a save that fails would leave no checkpoint; use 2 or more, or 0 to keep all",
  ],
  [
    { checkpoint: { export_dtype: "bfloat16", last_save_in_hf: false } },
    "checkpoint.export_dtype (bfloat16) needs checkpoint.last_save_in_hf or checkpoint.last_save_model_only (both false): a checkpoint to resume from keeps the full precision; set one of them to true",
  ],
  [
    { checkpoint: { load_step: 5, enable: false } },
    "checkpoint.load_step (5) needs checkpoint.enable (false), without which nothing is resumed; set it to true",
  ],
  [
    { checkpoint: { load_step: 1000 } },
    "checkpoint.load_step (1000) must be less than training.steps (1000), or there is nothing left to train; raise training.steps",
  ],
  [
    { checkpoint: { enable: false, enable_first_step_checkpoint: true } },
    "checkpoint.enable_first_step_checkpoint (true) saves a checkpoint, but checkpoint.enable (false) forbids saving; change one of them",
  ],
  [
    { processes: { procs: 2 }, checkpoint: { create_seed_checkpoint: true } },
    "checkpoint.create_seed_checkpoint (true) needs processes.procs: 1, found 2; make the seed checkpoint in one process and start the run from it",
  ],
  [
    { training: { enable_cpu_offload: true } },
    "training.enable_cpu_offload (true) needs processes.with_gpus (false): on a CPU everything is in CPU memory already; remove it",
  ],
];

for (const [sections, message] of errors) {
  test(`refused: ${message.slice(0, 70)}`, () => {
    assert.deepEqual(refused(sections), [message]);
  });
}

const warnings: [ConfigInput, string][] = [
  [
    { training: { steps: 50, epochs: 2 } },
    "training.steps (50) is not used beside training.epochs (2), which says how long the run is; ~training.epochs takes that back",
  ],
  [
    // The guide's first scenario over its other cells.
    { training: { steps: 100 }, lr_scheduler: { warmup_steps: 200 } },
    "lr_scheduler.warmup_steps (200) is more than training.steps (100): the whole run is warm-up, cut to 100 steps; 5 to 10 % of training.steps is usual, here 10",
  ],
  [
    { checkpoint: { initial_load_in_hf: false } },
    "checkpoint.initial_load_in_hf is false and checkpoint.initial_load_path is null: the run starts from random weights",
  ],
  [
    { comm: { save_traces_folder: "traces" } },
    "comm.save_traces_folder (traces) does nothing with comm.trace_buf_size 0; set that to 2000, or remove the folder",
  ],
  [
    { comm: { trace_buf_size: 9 } },
    "comm.trace_buf_size (9) does nothing with processes.procs 1: one process calls no other",
  ],
  [
    { optimizer: { stochastic_rounding: true } },
    "optimizer.stochastic_rounding (true) does nothing with training.dtype float32 and optimizer.state_dtype float32: neither weights nor moments are bfloat16; remove it",
  ],
  [
    { parallelism: { fsdp_reduce_gradients: "once" } },
    "parallelism.fsdp_reduce_gradients (once) does nothing in a step of one pass, whose gradients are reduced once in any case; remove it",
  ],
  [
    { activation_checkpoint: { mode: "full", selective_ac_option: 2 } },
    "activation_checkpoint.selective_ac_option (2) does nothing with activation_checkpoint.mode full; set the mode to selective, or remove the option",
  ],
  [
    { training: { dataset: "a.jsonl" }, eval: { datasets: [{ path: "a.jsonl" }] } },
    "eval.datasets[0] (a.jsonl, split train) is also training data (training.dataset or training.datasets): its loss says nothing about new rows; use splits such as train[:95%] and train[95%:]",
  ],
  [
    { processes: { procs: 2 }, parallelism: { pipeline_parallel_degree: 2 } },
    "training.local_batch_size (1) is less than parallelism.pipeline_parallel_degree (2): with fewer microbatches than stages, stages stand idle; raise it to 4 or more",
  ],
];

for (const [sections, message] of warnings) {
  test(`warned: ${message.slice(0, 70)}`, () => {
    assert.deepEqual(warned(sections), [message]);
  });
}

test("a check does not run on a key that is wrong by itself", () => {
  assert.deepEqual(refused({ training: { local_batch_size: 2, global_batch_size: -3 } }), [
    "training.global_batch_size: expected a whole number of at least 1, or -1, found -3",
  ]);
});
