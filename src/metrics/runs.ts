// The runs of a folder (job.dump_folder), and finding one by its name.
import { readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

import { UserError } from "../util/index.ts";
import { readMetrics } from "./metrics-file.ts";
import type { MetricRecord } from "./record.ts";
import { isAlive, readRunInfo, type RunInfo } from "./run-info.ts";

export interface RunSummary extends Omit<RunInfo, "status"> {
  path: string;
  /** "died": it says that it is running, but its process is gone. */
  status: RunInfo["status"] | "died";
  /** The last logged step; 0 where there is none. */
  step: number;
  loss: number | undefined;
  evalLoss: number | undefined;
}

/** A run's summary; undefined where the folder is no run's. */
export function readRun(path: string): RunSummary | undefined {
  const info = readRunInfo(path);
  if (info === undefined) return undefined;
  const records = readMetrics(join(path, "metrics.jsonl"));
  const train = records.findLast((record) => record.kind === "train");
  const evaluation = records.findLast((record) => record.kind === "eval");
  return {
    ...info,
    path,
    status: info.status === "running" && !isAlive(info) ? "died" : info.status,
    step: train?.step ?? 0,
    loss: train?.loss,
    evalLoss: evaluation?.eval_loss,
  };
}

/**
 * All runs in a folder, the newest first. Empty where the folder is not there. @throws UserError for a file
 *
 * @example
 * ```ts
 * import { listRuns } from "torchforge/metrics";
 *
 * for (const run of listRuns("outputs")) console.log(run.name, run.status, run.loss);
 * ```
 */
export function listRuns(dumpFolder: string): RunSummary[] {
  const found = statSync(dumpFolder, { throwIfNoEntry: false });
  if (found === undefined) return [];
  if (!found.isDirectory())
    throw new UserError(`${dumpFolder}: expected a folder of runs, found a file`, { exitCode: 2 });
  return readdirSync(dumpFolder)
    .map((name) => join(dumpFolder, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isDirectory())
    .map(readRun)
    .filter((run) => run !== undefined)
    .sort((a, b) => b.started.localeCompare(a.started) || b.name.localeCompare(a.name));
}

export interface RunData {
  run: RunSummary;
  records: MetricRecord[];
}

/**
 * A run by its path, or by its name (or the beginning of it, or "latest") in `dumpFolder`.
 * @throws UserError (exit code 2) naming the runs that are there
 */
export function findRun(pathOrName: string, dumpFolder: string): RunData {
  const at = readRun(resolve(pathOrName));
  const runs = at === undefined ? listRuns(dumpFolder) : [];
  const begun = runs.filter(({ name }) => name.startsWith(pathOrName));
  const run =
    at ??
    (pathOrName === "latest" ? runs[0] : runs.find(({ name }) => name === pathOrName)) ??
    (begun.length === 1 ? begun[0] : undefined);
  if (run === undefined) {
    const names = (begun.length > 1 ? begun : runs).slice(0, 10).map(({ name }) => name);
    const problem = begun.length > 1 ? `${begun.length} runs begin with` : "there is no run";
    throw new UserError(
      `${problem} ${pathOrName} in ${resolve(dumpFolder)}; ${names.length === 0 ? "there are no runs at all: give the folder that holds them (--dir, in a notebook {dir})" : `the runs there: ${names.join(", ")}`}`,
      { exitCode: 2 },
    );
  }
  return { run, records: readMetrics(join(run.path, "metrics.jsonl")) };
}
