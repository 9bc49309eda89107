// Runs `forge sft` in a process of its own, to its end or until its checkpoint of a step is there and it is killed.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { UserError } from "../../util/index.ts";

export interface ProofRun {
  readonly config: string;
  readonly overrides: readonly string[];
  /** `job.dump_folder` */
  readonly work: string;
  /** `job.name` */
  readonly name: string;
}

/** Lines of a failed run that are shown. */
const shownLines = 20;

interface End {
  readonly code: number | null;
  readonly signal: string | null;
}

interface Running {
  readonly end: Promise<End>;
  hasEnded(): boolean;
  output(): string;
  kill(): void;
}

function start(run: ProofRun): Running {
  const file = import.meta.filename;
  const main = join(import.meta.dirname, "..", `main${extname(file)}`);
  const args = [main, "sft", "--config", run.config, ...run.overrides, `job.name=${run.name}`];
  // A group of its own, so that a kill leaves nothing of it behind; then the terminal's Ctrl-C doesn't reach it.
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(-100_000)));
  let ended = false;
  const kill = (): void => {
    if (child.pid !== undefined && !ended) process.kill(-child.pid, "SIGKILL");
  };
  const interrupted = (): void => process.exit(130);
  process.once("exit", kill).once("SIGINT", interrupted).once("SIGTERM", interrupted);
  const end = new Promise<End>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", () => (ended = true));
    child.on("close", (code, signal) => {
      process.off("exit", kill).off("SIGINT", interrupted).off("SIGTERM", interrupted);
      resolve({ code, signal });
    });
  });
  return { end, hasEnded: () => ended, output: () => output, kill };
}

function failed(run: ProofRun, { code, signal }: End, output: string): UserError {
  const lines = output.trimEnd().split("\n").slice(-shownLines).join("\n");
  return new UserError(`the run '${run.name}' ended with ${signal ?? `exit code ${code}`}:\n${lines}`, {
    exitCode: code === 2 ? 2 : 1,
  });
}

/** Trains to the end. Returns the run's folder. @throws UserError with its last lines where it fails */
export async function train(run: ProofRun): Promise<string> {
  const running = start(run);
  const end = await running.end;
  if (end.code !== 0) throw failed(run, end, running.output());
  return join(run.work, run.name);
}

/**
 * Trains until the checkpoint of `step` is there, kills the process, and trains on to the end. Where a run is faster than
 * the kill, it goes on from that checkpoint all the same, and does the steps after it again.
 */
export async function trainAndKill(run: ProofRun, step: number): Promise<string> {
  const folder = join(run.work, run.name);
  const checkpoint = join(folder, "checkpoint", `step-${step}`, "state.json");
  const running = start(run);
  while (!running.hasEnded() && !existsSync(checkpoint)) await sleep(2);
  running.kill();
  const end = await running.end;
  if (end.signal !== "SIGKILL" && end.code !== 0) throw failed(run, end, running.output());
  await train({ ...run, overrides: [...run.overrides, `checkpoint.load_step=${step}`] });
  const resumed = JSON.parse(readFileSync(join(folder, "run.json"), "utf8")) as { starts?: number };
  if (resumed.starts !== 2) throw new Error(`${folder}: expected two starts, found ${resumed.starts}`);
  return folder;
}
