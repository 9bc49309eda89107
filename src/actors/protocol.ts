// What a controller and a worker process tell each other. The only thing that both sides know.
import type { MetricRecord } from "../metrics/index.ts";

/** Work for a worker: its kind, and what that kind needs. Plain data. */
export interface Job {
  kind: string;
  [argument: string]: unknown;
}

export type ToWorker = { type: "job"; job: Job } | { type: "stop" };

/** An error on its way to the controller. */
export interface WireError {
  name: string;
  message: string;
  stack: string | undefined;
  /** A user's mistake: shown without its stack. */
  isUserError: boolean;
  exitCode: 1 | 2;
}

export type FromWorker =
  /** A line for the user. */
  | { type: "note"; text: string }
  /** Text as it comes, without a line's end: an answer being generated. */
  | { type: "text"; text: string }
  | { type: "record"; record: MetricRecord }
  | { type: "result"; value: unknown }
  | { type: "error"; error: WireError };
