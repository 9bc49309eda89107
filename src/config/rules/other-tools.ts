// What other tools (Transformers' Trainer, TRL, Axolotl, LLaMA-Factory) call our keys, for suggestions.

const names: Readonly<Record<string, string>> = {
  adam_beta1: "optimizer.beta1",
  adam_beta2: "optimizer.beta2",
  adam_epsilon: "optimizer.eps",
  base_model: "model.hf_assets_path",
  batch_size: "training.local_batch_size",
  bf16: "training.mixed_precision_param",
  cutoff_len: "training.seq_len",
  dataset_name: "training.dataset",
  epochs: "training.epochs",
  eval_steps: "eval.eval_every_n_steps",
  gradient_checkpointing: "activation_checkpoint.mode",
  learning_rate: "optimizer.lr",
  load_best_model_at_end: "checkpoint.keep_best",
  logging_dir: "metric_logging.tensorboard.folder",
  logging_steps: "metric_logging.log_every_n_steps",
  lr_scheduler_type: "lr_scheduler.decay_type",
  max_epochs: "training.epochs",
  max_grad_norm: "training.max_norm",
  max_length: "training.seq_len",
  max_seq_len: "training.seq_len",
  max_seq_length: "training.seq_len",
  max_steps: "training.steps",
  micro_batch_size: "training.local_batch_size",
  model_name: "model.hf_assets_path",
  model_name_or_path: "model.hf_assets_path",
  num_epochs: "training.epochs",
  num_train_epochs: "training.epochs",
  num_warmup_steps: "lr_scheduler.warmup_steps",
  optim: "optimizer.name",
  output_dir: "job.dump_folder",
  packing: "training.packed",
  per_device_train_batch_size: "training.local_batch_size",
  resume_from_checkpoint: "checkpoint.initial_load_path",
  run_name: "job.name",
  sample_packing: "training.packed",
  save_steps: "checkpoint.interval",
  save_total_limit: "checkpoint.keep_latest_k",
  sequence_len: "training.seq_len",
  train_on_inputs: "training.train_on",
};

/** Those that have no key, and what does the same. */
const without: Readonly<Record<string, string>> = {
  gradient_accumulation_steps: "give training.global_batch_size, from which it follows",
  warmup_ratio: "give lr_scheduler.warmup_steps",
};

/** Our key for another tool's name, whatever its case and dashes. */
export function keyOfOtherTool(name: string): string | undefined {
  return names[plainName(name)];
}

/** What to do in place of another tool's key that has none here. */
export function insteadOfOtherTool(name: string): string | undefined {
  return without[plainName(name)];
}

const plainName = (name: string): string => name.toLowerCase().replaceAll("-", "_");
