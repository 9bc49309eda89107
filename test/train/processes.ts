// Starts test/train/train.ts in a process, to its end or until something kills it; and reads what a run left.
import { spawn, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { fromExactJson, stepPath, type Manifest } from "../../src/checkpoint/index.ts";
import { readMetrics } from "../../src/metrics/index.ts";

const script = join(import.meta.dirname, "train.ts");

export interface Life {
  readonly signal: NodeJS.Signals | null;
  /** Standard output, line by line. */
  readonly lines: readonly string[];
}

/**
 * Trains in a process of its own. `onStart` may arrange for its death.
 * @throws Error with its output where it fails by itself
 */
export function trainingProcess(
  args: readonly string[],
  onStart?: (child: ChildProcess, onLine: (listener: (line: string) => void) => void) => void,
): Promise<Life> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], {
      env: { ...process.env, OMP_NUM_THREADS: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [rest, err] = ["", ""];
    const lines: string[] = [];
    const listeners: ((line: string) => void)[] = [];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      const parts = (rest + text).split("\n");
      rest = parts.pop()!;
      lines.push(...parts);
      for (const listener of listeners) for (const line of parts) listener(line);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (signal === null && code !== 0)
        reject(new Error(`the training ended with ${code}:\n${lines.join("\n")}\n${err}`));
      else resolve({ signal, lines });
    });
    onStart?.(child, (listener) => listeners.push(listener));
  });
}

/**
 * What must be equal, bit for bit, of two runs that did the same steps. (The loader's `now` is the date that chat templates
 * print: when the run began.)
 */
export function remains(run: string, step: number) {
  const checkpoint = stepPath(join(run, "checkpoint"), step);
  const state = fromExactJson(readFileSync(join(checkpoint, "state.json"), "utf8")) as unknown as Manifest;
  return {
    weights: readFileSync(join(checkpoint, "model.safetensors")),
    optimizer: readFileSync(join(checkpoint, "optimizer.safetensors")),
    random: state.random,
    parts: { ...state.parts, dataloader: { ...(state.parts.dataloader as object), now: undefined } },
    steps: readMetrics(join(run, "metrics.jsonl")).map((record) =>
      record.kind === "train"
        ? [record.step, record.loss, record.grad_norm, record.learning_rate, record.num_tokens, record.epoch]
        : [record.step, record.eval_loss],
    ),
  };
}
