// What tests of commands share: a folder with a tiny model, rows and a configuration, and `forge` in a process of its own.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { makeTinyModel } from "../models/tiny-model.ts";
import { environment, root } from "../programs.ts";

export interface Place {
  folder: string;
  model: string;
  rows: string;
  config: string;
}

/** A new folder with model, rows and run.yaml (200 quick steps). The caller removes it. */
export function makePlace(): Place {
  const folder = mkdtempSync(join(tmpdir(), "torchforge-cli-"));
  const place = {
    folder,
    model: join(folder, "model"),
    rows: join(folder, "rows.jsonl"),
    config: join(folder, "run.yaml"),
  };
  makeTinyModel(place.model);
  const rows = Array.from({ length: 60 }, (_, i) => ({
    instruction: `Say the number ${i}`,
    input: i % 3 === 0 ? "in words" : "",
    output: `It is ${i}, which is ${i % 2 === 0 ? "even" : "odd"}.`,
  }));
  writeFileSync(place.rows, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  writeFileSync(
    place.config,
    `job: {dump_folder: ${join(folder, "outputs")}}
model: {hf_assets_path: ${place.model}}
processes: {procs: 1, with_gpus: false}
optimizer: {lr: 1.0e-3}
training: {steps: 200, seq_len: 256, local_batch_size: 1, seed: 1, dataset: ${place.rows}}
checkpoint: {interval: 50, last_save_model_only: false}
metric_logging: {tensorboard: {enable: false}}
`,
  );
  return place;
}

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  seconds: number;
}

export interface Running {
  child: ChildProcess;
  /** Resolves when standard output or error has shown the pattern; rejects when the program ends before. */
  shows(pattern: RegExp): Promise<void>;
  ended: Promise<Ended>;
}

export interface StartOptions {
  timeoutMs?: number;
  cwd?: string;
  /** Beside those of every test. */
  env?: NodeJS.ProcessEnv;
}

/** How `forge` is started: program and first arguments. */
export const forgeCommand: readonly string[] = [process.execPath, join(root, "src/cli/main.ts")];

/** Starts `forge`; kills it after the time limit, which a test then sees as a signal. */
export const start = (args: readonly string[], options: StartOptions = {}): Running =>
  startProgram([...forgeCommand, ...args], options);

/** As `start`, with another program. */
export function startProgram([program, ...args]: readonly string[], options: StartOptions = {}): Running {
  const begin = performance.now();
  const { FORCE_COLOR: _, ...env } = environment;
  const child = spawn(program!, args, {
    cwd: options.cwd ?? root,
    env: { ...env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: options.timeoutMs ?? 100_000,
    killSignal: "SIGKILL",
  });
  let stdout = "";
  let stderr = "";
  const waiting = new Set<() => void>();
  const heard = (): void => waiting.forEach((check) => check());
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    heard();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    heard();
  });
  const ended = new Promise<Ended>((resolve) => {
    child.once("close", (code, signal) => {
      resolve({ code, signal, stdout, stderr, seconds: (performance.now() - begin) / 1000 });
    });
  });
  const shows = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        if (!pattern.test(stdout + stderr)) return;
        waiting.delete(check);
        resolve();
      };
      waiting.add(check);
      check();
      void ended.then(() => reject(new Error(`ended without showing ${pattern}:\n${stdout}\n${stderr}`)));
    });
  return { child, shows, ended };
}

export const forge = (args: readonly string[], options: StartOptions = {}) => start(args, options).ended;

/** Loss and gradient norm of every step in a run's metrics.jsonl, the last one where a step was done twice. */
export function metricsOf(runFolder: string): Map<number, { loss: number; grad_norm: number }> {
  const lines = readFileSync(join(runFolder, "metrics.jsonl"), "utf8").trim().split("\n");
  const records = lines.map(
    (line) => JSON.parse(line) as { kind: string; step: number; loss: number; grad_norm: number },
  );
  return new Map(
    records
      .filter(({ kind }) => kind === "train")
      .map(({ step, loss, grad_norm }) => [step, { loss, grad_norm }]),
  );
}

/** Process ids of a process's children (Linux). */
export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return text === "" ? [] : text.split(" ").map(Number);
}

export function isAlive(pid: number): boolean {
  try {
    // A zombie that nobody has waited for is gone, too.
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** Waits until a process is gone; seconds that it took, or undefined after the limit. */
export async function gone(pid: number, limitSeconds: number): Promise<number | undefined> {
  const begin = performance.now();
  for (;;) {
    const seconds = (performance.now() - begin) / 1000;
    if (!isAlive(pid)) return seconds;
    if (seconds > limitSeconds) return undefined;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
