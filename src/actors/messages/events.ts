// What an actor tells while it works: plain data, on its way from a worker to a terminal, a notebook or a log.
import type { MetricRecord } from "../../metrics/index.ts";

/** The phases of an actor's life, in their order. */
export const phases = ["spawn", "setup", "run", "cleanup"] as const;
export type Phase = (typeof phases)[number];

/** What an actor itself says. */
export type ActorMessage =
  /** A line for the user. */
  | { type: "note"; text: string }
  /** Text as it comes, without a line's end: an answer being generated. */
  | { type: "text"; text: string }
  /** A step or an evaluation. */
  | { type: "record"; record: MetricRecord }
  /** How far something is that takes long: `done` of `total`, in units of the actor's choice. */
  | { type: "progress"; done: number; total: number; label: string }
  /** The folder of the run, absolute: logs are kept there. */
  | { type: "folder"; path: string }
  /** A complete checkpoint, from which a run can go on. */
  | { type: "checkpoint"; step: number; path: string };

/** What the stream of a spawned actor holds: messages of all ranks, their output, and what happens to the processes. */
export type ActorEvent =
  | (ActorMessage & { rank: number })
  /** A line that a process wrote. */
  | { type: "log"; rank: number; stream: "stdout" | "stderr"; text: string }
  | { type: "phase"; phase: Phase; state: "begun" | "done" | "failed" }
  /** Processes are started again after a death (processes.max_restarts). */
  | { type: "restart"; attempt: number; of: number; reason: string };
