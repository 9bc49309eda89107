// metrics.jsonl: one JSON object per logged step or evaluation. Each line is one append, so a crash can truncate only the last
// one. A resume removes records after the step that it resumes from, so that no step appears twice.
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

/** JSON has no NaN. It is written as a string, so that a diverged run differs from a missing number. */
const nonFinite = new Map<string, number>([
  ["NaN", Number.NaN],
  ["Infinity", Infinity],
  ["-Infinity", -Infinity],
]);

/** A record as JSON, without newline. */
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
 * Reads a metrics.jsonl. Truncated and foreign lines are skipped. Empty if there is no file.
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
   * @param path the file; its folder is created
   * @param resumedStep the step that the run resumes from: later records are removed. 0 removes all.
   */
  constructor(path: string, resumedStep = 0) {
    this.path = path;
    makeFolder(dirname(path));
    if (existsSync(path)) removeAfter(path, resumedStep);
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

/** Removes the records after a step. Writes a temporary file and renames it, so that a crash loses nothing. */
function removeAfter(path: string, lastStep: number): void {
  const text = readFileSync(path, "utf8");
  const records = readMetrics(path).filter(({ step }) => lastStep > 0 && step <= lastStep);
  const next = records.map((record) => `${toLine(record)}\n`).join("");
  if (next === text) return;
  const temporary = `${path}.${process.pid}.tmp`;
  writeFileSync(temporary, next);
  renameSync(temporary, path);
}
