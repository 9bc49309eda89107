// Reads run.json, and checks whether the run's process is still alive.
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

import { isProcessAlive } from "../util/index.ts";

/** A "running" run whose process is gone is shown as "died" by listRuns. */
export type RunStatus = "running" | "finished" | "interrupted" | "failed";

/** The contents of run.json. */
export interface RunInfo {
  name: string;
  description: string;
  model: string;
  /** Total steps of the run. */
  steps: number;
  /** The training data, and the form in which its rows are read. */
  data?: readonly { readonly path: string; readonly format: string }[];
  /** With `checkpoint.keep_best`: the evaluation with the lowest loss so far, and its checkpoint's folder. */
  best?: { readonly step: number; readonly eval_loss: number; readonly checkpoint: string };
  status: RunStatus;
  /** ISO times. */
  started: string;
  ended?: string;
  /** How often the run was started in this folder. */
  starts: number;
  /** The process of the run. */
  pid: number;
  /** The process's start time, as the system counts it, because process ids are reused. */
  pidStarted?: string;
  host: string;
  /** The error's message, if the run failed. */
  error?: string;
}

/** Reads a folder's run.json; undefined if there is none, or it can't be parsed. */
export function readRunInfo(folder: string): RunInfo | undefined {
  try {
    const info = JSON.parse(readFileSync(join(folder, "run.json"), "utf8")) as RunInfo;
    return typeof info.name === "string" && typeof info.status === "string" ? info : undefined;
  } catch {
    return undefined;
  }
}

/** Field 22 of /proc/PID/stat; empty without /proc. The second field, in parentheses, may contain spaces and parentheses. */
export function pidStart(pid: number): { pidStarted?: string } {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return { pidStarted: stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]! };
  } catch {
    return {};
  }
}

/** Whether the process of a "running" run is alive. Assumes so for another machine, where we can't check. */
export function isAlive(info: Pick<RunInfo, "status" | "pid" | "pidStarted" | "host">): boolean {
  if (info.status !== "running") return false;
  if (info.host !== hostname()) return true;
  if (!isProcessAlive(info.pid)) return false;
  const { pidStarted } = pidStart(info.pid);
  return info.pidStarted === undefined || pidStarted === undefined || info.pidStarted === pidStarted;
}
