// What every benchmark shares: the machine's description, rounds in alternation, medians, bars, and the JSON line that
// ends the output. It measures nothing by itself. A bar compares two things that were measured in the same run.
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism, cpus, loadavg, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

import { requireLibtorch } from "../src/setup/index.ts";
import { UserError } from "../src/util/index.ts";

/** `--quick`: fewer rounds or smaller shapes, for a first look. */
export const quick = process.argv.includes("--quick");

/** `--bars`: exit with 1 when a bar does not hold. */
const strict = process.argv.includes("--bars");

export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly op: "<=" | ">=";
  readonly limit: number;
}

/** Every figure says its unit in its name: `step_ms`, `peak_rss_mb`, `tokens_per_s`. */
export type Figures = Readonly<Record<string, number | string | readonly number[]>>;

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory_gb: number;
  readonly os: string;
  readonly node: string;
  readonly torch: string;
  /** Load average over a minute when the benchmark ended: above the number of cores, timings are noise. */
  readonly load_1m: number;
  readonly [extra: string]: string | number;
}

export function machine(extra: Record<string, string | number> = {}): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    memory_gb: round(totalmem() / 2 ** 30, 3),
    os: `${process.platform} ${process.arch}`,
    node: process.version,
    torch: requireLibtorch().version,
    load_1m: round(loadavg()[0]!, 3),
    ...extra,
  };
}

/** Prints the last line of a benchmark; with --bars a bar that does not hold makes the exit code 1. */
export function report(
  bench: string,
  figures: Figures,
  bars: readonly Bar[],
  extra: Record<string, string | number> = {},
): void {
  const judged = bars.map((bar) => ({ ...bar, value: round(bar.value), holds: holds(bar) }));
  for (const bar of judged) {
    console.error(
      `${bar.holds ? "holds" : "FAILS"}  ${bar.name}: ${bar.value} ${bar.op} ${bar.limit}${quick ? "  (--quick)" : ""}`,
    );
  }
  const rounded = Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [
      name,
      typeof value === "number"
        ? round(value)
        : typeof value === "string"
          ? value
          : value.map((v) => round(v)),
    ]),
  );
  console.log(JSON.stringify({ bench, machine: machine(extra), figures: rounded, bars: judged }));
  if (strict && judged.some((bar) => !bar.holds)) process.exitCode = 1;
}

/** Whether a bar holds; a value that is not a number holds nothing. */
export function holds({ value, op, limit }: Bar): boolean {
  return op === "<=" ? value <= limit : value >= limit;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error("median of nothing");
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** `digits` significant digits: more would pretend to a precision that a benchmark doesn't have. */
export function round(value: number, digits = 4): number {
  return Number.isFinite(value) ? Number(value.toPrecision(digits)) : value;
}

/**
 * Runs the contenders in turn, `rounds` times, the order reversed every other round, and returns each one's values.
 * A contender returns its own measurement (any unit). `warmUp` rounds come first and are thrown away.
 */
export async function alternate<Name extends string>(
  rounds: number,
  contenders: Readonly<Record<Name, () => number | Promise<number>>>,
  warmUp = 1,
): Promise<Record<Name, number[]>> {
  const names = Object.keys(contenders) as Name[];
  const values = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let i = -warmUp; i < rounds; i++) {
    for (const name of i % 2 === 0 ? names : names.toReversed()) {
      const value = await contenders[name]();
      if (i >= 0) values[name].push(value);
    }
  }
  return values;
}

/** Median over rounds of a/b, each ratio within one round: what slowed the machine slowed both. */
export function medianRatio(a: readonly number[], b: readonly number[]): number {
  return median(a.map((value, i) => value / b[i]!));
}

/** The Python whose torch is the libtorch that we run on, so that both sides have the same version and build. */
export function pythonWithTorch(): string {
  const { root, from } = requireLibtorch();
  // PREFIX/lib/python3.x/site-packages/torch
  const python = join(resolve(root, "..", "..", "..", ".."), "bin", "python3");
  if (existsSync(python)) return python;
  if (from === "python3") return "python3";
  throw new UserError(
    `This benchmark compares with Python's torch: expected a Python environment around ${root}, found none. ` +
      "Unset TORCHFORGE_LIBTORCH or point it at a Python environment with torch.",
  );
}

/** Runs Python to its end and returns what its last line holds, as JSON. */
export function runPython(args: readonly string[], env: Record<string, string> = {}): unknown {
  const run = spawnSync(pythonWithTorch(), [...args], {
    encoding: "utf8",
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 2 ** 28,
  });
  if (run.status !== 0) throw new Error(`python ${args[0] ?? ""} ended with ${run.status ?? run.signal}`);
  return JSON.parse(run.stdout.trim().split("\n").at(-1)!);
}

/**
 * A process that stays, for rounds in alternation: it reads one JSON value per line and answers with one line of JSON.
 * Works for a Python script and for another Node program alike.
 */
export class Peer implements Disposable {
  readonly #child: ChildProcess;
  #gone: Error | undefined;
  readonly #waiting: { done: (line: string) => void; fail: (error: Error) => void }[] = [];

  constructor(program: string, args: readonly string[], env: Record<string, string> = {}) {
    const child = spawn(program, [...args], {
      env: { ...process.env, ...env },
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child = child;
    createInterface({ input: child.stdout }).on("line", (line) => this.#waiting.shift()?.done(line));
    const gone = (why: string) => {
      this.#gone ??= new Error(`${program} ${args[0] ?? ""} ${why}`);
      for (const { fail } of this.#waiting.splice(0)) fail(this.#gone);
    };
    child.stdin.on("error", () => {}); // its end is told by "exit"
    child.on("error", (error) => gone(error.message));
    child.on("exit", (code, signal) => gone(`ended with ${code ?? signal}`));
  }

  /** Sends a request and waits for its answer. Answers come in the order of the requests. */
  async ask(request: unknown): Promise<unknown> {
    if (this.#gone !== undefined) throw this.#gone;
    const line = await new Promise<string>((done, fail) => {
      this.#waiting.push({ done, fail });
      this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    });
    return JSON.parse(line) as unknown;
  }

  [Symbol.dispose](): void {
    this.#child.stdin?.end();
    this.#child.kill();
  }
}
