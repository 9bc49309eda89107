// What run.json says of a run, and whether its process is still there.
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

import { isProcessAlive } from "../util/index.ts";

/** How a run stands. A "running" run whose process is gone is shown as "died" by listRuns. */
export type RunStatus = "running" | "finished" | "interrupted" | "failed";

/** run.json */
export interface RunInfo {
  name: string;
  description: string;
  model: string;
  /** Steps of the whole run. */
  steps: number;
  status: RunStatus;
  /** ISO times. */
  started: string;
  ended?: string;
  /** How often the run was started in this folder. */
  starts: number;
  /** The process that runs it, to find out whether it still does. */
  pid: number;
  /** When that process began, as the system counts it; process ids are used again. */
  pidStarted?: string;
  host: string;
  /** The message that it failed with. */
  error?: string;
}

/** run.json of a folder; undefined where there is none, or no readable one. */
export function readRunInfo(folder: string): RunInfo | undefined {
  try {
    const info = JSON.parse(readFileSync(join(folder, "run.json"), "utf8")) as RunInfo;
    return typeof info.name === "string" && typeof info.status === "string" ? info : undefined;
  } catch {
    return undefined;
  }
}

/** Field 22 of /proc/PID/stat; nothing where there is no /proc. The second field, in parentheses, may hold anything. */
export function pidStart(pid: number): { pidStarted?: string } {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return { pidStarted: stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]! };
  } catch {
    return {};
  }
}

/** Whether the process of a "running" run is there; true for one on another machine, where nobody can tell. */
export function isAlive(info: Pick<RunInfo, "status" | "pid" | "pidStarted" | "host">): boolean {
  if (info.status !== "running") return false;
  if (info.host !== hostname()) return true;
  if (!isProcessAlive(info.pid)) return false;
  const { pidStarted } = pidStart(info.pid);
  return info.pidStarted === undefined || pidStarted === undefined || info.pidStarted === pidStarted;
}
