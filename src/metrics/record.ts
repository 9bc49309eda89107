// What is measured in a step or an evaluation: plain data, so that it crosses from a worker to the notebook as it is.
// Names are those that TRL and torchtitan users know from their loggers.

/** One optimizer step. */
export interface StepRecord {
  kind: "train";
  /** The step just finished, from 1. */
  step: number;
  /** Steps of the whole run. */
  steps: number;
  /** Unix time in seconds. */
  time: number;
  /** Mean loss of the trained tokens of the step, over all ranks. */
  loss: number;
  learning_rate: number;
  /** Global norm of the gradient before clipping. */
  grad_norm: number;
  /** Passes over the training data so far, e.g. 1.5. */
  epoch?: number;
  /** Tokens without padding since the start of the run, over all ranks. */
  num_tokens: number;
  /** Tokens without padding per second, over all ranks. */
  tokens_per_second: number;
  /** Wall time of the step. */
  step_seconds: number;
  /** Estimated wall time until the last step. */
  seconds_left: number;
  /** Highest memory of a rank so far: the device's, or the process's on a CPU. MiB. */
  peak_memory_mb?: number;
}

/** One evaluation of one data set. */
export interface EvalRecord {
  kind: "eval";
  /** The step after which it took place; 0 is before the first. */
  step: number;
  time: number;
  /** Mean loss of the trained tokens. */
  eval_loss: number;
  /** Tokens that the mean is over. */
  num_tokens: number;
  /** Name of the data set, where there are several. */
  dataset?: string;
}

export type MetricRecord = StepRecord | EvalRecord;

/** Takes records: a file, the terminal, a chart. */
export interface MetricSink {
  write(record: MetricRecord): void;
  close(): void;
}
