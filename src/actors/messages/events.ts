// What an actor reports while it works: plain data that travels from a worker to a terminal, a notebook or a log.
import type { MetricRecord } from "../../metrics/index.ts";

/** The phases of an actor's life, in order. */
export const phases = ["spawn", "setup", "run", "cleanup"] as const;
export type Phase = (typeof phases)[number];

/** A message from the actor itself. */
export type ActorMessage =
  /** A line for the user. */
  | { type: "note"; text: string }
  /** Streamed text without a newline: an answer being generated. */
  | { type: "text"; text: string }
  /** A step or an evaluation. */
  | { type: "record"; record: MetricRecord }
  /** Progress of something slow: `done` of `total`, in units of the actor's choice. */
  | { type: "progress"; done: number; total: number; label: string }
  /** The run folder (absolute), where logs are kept. */
  | { type: "folder"; path: string }
  /** A complete checkpoint, from which a run can resume. */
  | { type: "checkpoint"; step: number; path: string };

/** An event of a spawned actor: a message of any rank, its output, or something that happened to its process. */
export type ActorEvent =
  | (ActorMessage & { rank: number })
  /** A line that a process wrote. */
  | { type: "log"; rank: number; stream: "stdout" | "stderr"; text: string }
  | { type: "phase"; phase: Phase; state: "begun" | "done" | "failed" }
  /** The processes are restarted after one died (processes.max_restarts). */
  | { type: "restart"; attempt: number; of: number; reason: string };
