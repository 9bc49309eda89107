// metrics.jsonl: one JSON object per logged step or evaluation. Each line is one append, so a crash can tear only the
// last; a resume takes out what lies beyond the step that it resumes from, so that the curve has no two ends.
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";

import type { MetricRecord, MetricSink } from "./record.ts";
import { makeFolder } from "../util/index.ts";

/** JSON has no NaN; it is written as text, so that a diverged run can be told from a missing number. */
const nonFinite = new Map<string, number>([
  ["NaN", Number.NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
]);

/** One line, without its end. */
export function toLine(record: MetricRecord): string {
  return JSON.stringify(record, (_, value: unknown) =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value,
  );
}

function fromLine(line: string): MetricRecord | undefined {
  try {
    const value = JSON.parse(line, (key, item: unknown) =>
      typeof item === "string" && key !== "dataset" && nonFinite.has(item) ? nonFinite.get(item) : item,
    ) as MetricRecord;
    return (value.kind === "train" || value.kind === "eval") && Number.isInteger(value.step)
      ? value
      : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The records of a metrics.jsonl; lines that are torn or foreign are left out. Empty where there is no file.
 *
 * @example
 * ```ts no-run
 * import { readMetrics } from "torchforge/metrics";
 *
 * const losses = readMetrics("outputs/run/metrics.jsonl").flatMap((one) =>
 *   one.kind === "train" ? [one.loss] : [],
 * );
 * console.log(losses.at(-1));
 * ```
 */
export function readMetrics(path: string): MetricRecord[] {
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .map(fromLine)
    .filter((record) => record !== undefined);
}

export class MetricsFile implements MetricSink {
  readonly path: string;
  #fd: number | undefined;

  /**
   * @param path the file; its folder is made
   * @param resumedStep the step that the run goes on from: records beyond it are removed. 0 begins anew.
   */
  constructor(path: string, resumedStep = 0) {
    this.path = path;
    makeFolder(dirname(path));
    if (existsSync(path)) cut(path, resumedStep);
    this.#fd = openSync(path, "a");
  }

  write(record: MetricRecord): void {
    if (this.#fd === undefined) throw new Error(`${this.path} is closed`);
    writeSync(this.#fd, `${toLine(record)}\n`);
  }

  close(): void {
    if (this.#fd === undefined) return;
    fsyncSync(this.#fd);
    closeSync(this.#fd);
    this.#fd = undefined;
  }
}

/** Rewrites the file with the records up to a step: beside it, then renamed, so that none is lost on a crash. */
function cut(path: string, lastStep: number): void {
  const text = readFileSync(path, "utf8");
  const kept = readMetrics(path).filter(({ step }) => lastStep > 0 && step <= lastStep);
  const next = kept.map((record) => `${toLine(record)}\n`).join("");
  if (next === text) return;
  const beside = `${path}.${process.pid}.tmp`;
  writeFileSync(beside, next);
  renameSync(beside, path);
}
