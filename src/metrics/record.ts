// Metrics of a step or an evaluation: plain data, so that it crosses from a worker to the notebook unchanged. Names are those
// of TRL's and torchtitan's loggers.

/** One optimizer step. */
export interface StepRecord {
  kind: "train";
  /** The finished step, from 1. */
  step: number;
  /** Total steps of the run. */
  steps: number;
  /** Unix time in seconds. */
  time: number;
  /** Mean loss over the step's trained tokens, on all ranks. */
  loss: number;
  learning_rate: number;
  /** Global norm of the gradient before clipping. */
  grad_norm: number;
  /** Epochs so far, e.g. 1.5. */
  epoch?: number;
  /** Tokens without padding since the start of the run, on all ranks. */
  num_tokens: number;
  /** Tokens without padding per second, on all ranks. */
  tokens_per_second: number;
  /** Wall time of the step. */
  step_seconds: number;
  /** Estimated wall time until the last step. */
  seconds_left: number;
  /** Peak memory over the ranks so far, in MiB: the device's, or on a CPU the process's. */
  peak_memory_mb?: number;
}

/** One evaluation of one data set. */
export interface EvalRecord {
  kind: "eval";
  /** The step after which it ran; 0 is before the first. */
  step: number;
  time: number;
  /** Mean loss over the trained tokens. */
  eval_loss: number;
  /** Number of trained tokens. */
  num_tokens: number;
  /** Name of the data set, if there are several. */
  dataset?: string;
}

export type MetricRecord = StepRecord | EvalRecord;

/** Consumes records: a file, the terminal, a chart. */
export interface MetricSink {
  write(record: MetricRecord): void;
  close(): void;
}
