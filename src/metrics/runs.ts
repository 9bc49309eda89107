// Lists the runs of a folder (job.dump_folder), and finds a run by name.
import { readdirSync, statSync } from "node:fs";
import { join, resolve } from "node:path";

import { UserError } from "../util/index.ts";
import { readMetrics } from "./metrics-file.ts";
import type { MetricRecord } from "./record.ts";
import { isAlive, readRunInfo, type RunInfo } from "./run-info.ts";

export interface RunSummary extends Omit<RunInfo, "status"> {
  path: string;
  /** "died": run.json says running, but the process is gone. */
  status: RunInfo["status"] | "died";
  /** The last logged step; 0 if there is none. */
  step: number;
  loss: number | undefined;
  evalLoss: number | undefined;
}

/** A run's summary; undefined if the folder isn't a run folder. */
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
 * All runs in a folder, newest first; empty if there is no such folder.
 * @throws UserError if the path is a file
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
 * Finds a run by its path, by its name or a unique prefix of it in `dumpFolder`, or as "latest".
 * @throws UserError (exit code 2) that lists the runs there are
 */
export function findRun(pathOrName: string, dumpFolder: string): RunData {
  const byPath = readRun(resolve(pathOrName));
  const runs = byPath === undefined ? listRuns(dumpFolder) : [];
  const matches = runs.filter(({ name }) => name.startsWith(pathOrName));
  const run =
    byPath ??
    (pathOrName === "latest" ? runs[0] : runs.find(({ name }) => name === pathOrName)) ??
    (matches.length === 1 ? matches[0] : undefined);
  if (run === undefined) {
    const names = (matches.length > 1 ? matches : runs).slice(0, 10).map(({ name }) => name);
    const problem = matches.length > 1 ? `${matches.length} runs begin with` : "there is no run";
    throw new UserError(
      `${problem} ${pathOrName} in ${resolve(dumpFolder)}; ${names.length === 0 ? "there are no runs at all: give the folder that holds them (--dir, in a notebook {dir})" : `the runs there: ${names.join(", ")}`}`,
      { exitCode: 2 },
    );
  }
  return { run, records: readMetrics(join(run.path, "metrics.jsonl")) };
}
