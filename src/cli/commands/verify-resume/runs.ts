// Runs `forge sft` in a separate process, to its end, or until a step's checkpoint exists and it is killed.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { UserError } from "../../../util/index.ts";

export interface VerifyRun {
  readonly config: string | undefined;
  readonly overrides: readonly string[];
  /** `job.dump_folder` */
  readonly work: string;
  /** `job.name` */
  readonly name: string;
}

/** Lines of a failed run that its error shows. */
const maxShownLines = 20;

interface ProcessExit {
  readonly code: number | null;
  readonly signal: string | null;
}

interface RunningProcess {
  readonly end: Promise<ProcessExit>;
  hasEnded(): boolean;
  output(): string;
  kill(): void;
}

function start(run: VerifyRun): RunningProcess {
  const file = import.meta.filename;
  const main = join(import.meta.dirname, "..", "..", `main${extname(file)}`);
  const config = run.config === undefined ? [] : ["--config", run.config];
  const args = [main, "sft", ...config, ...run.overrides, `job.name=${run.name}`];
  // A process group of its own, so that a kill also reaches its workers. The terminal's Ctrl-C then doesn't reach it.
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(-100_000)));
  let hasExited = false;
  const kill = (): void => {
    if (child.pid !== undefined && !hasExited) process.kill(-child.pid, "SIGKILL");
  };
  const interrupted = (): void => process.exit(130);
  process.once("exit", kill).once("SIGINT", interrupted).once("SIGTERM", interrupted);
  const end = new Promise<ProcessExit>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", () => (hasExited = true));
    child.on("close", (code, signal) => {
      process.off("exit", kill).off("SIGINT", interrupted).off("SIGTERM", interrupted);
      resolve({ code, signal });
    });
  });
  return { end, hasEnded: () => hasExited, output: () => output, kill };
}

function runError(run: VerifyRun, { code, signal }: ProcessExit, output: string): UserError {
  const lines = output.trimEnd().split("\n").slice(-maxShownLines).join("\n");
  return new UserError(`the run '${run.name}' ended with ${signal ?? `exit code ${code}`}:\n${lines}`, {
    exitCode: code === 2 ? 2 : 1,
  });
}

/** Trains to the end. Returns the run folder. @throws UserError with the last lines if the run fails */
export async function train(run: VerifyRun): Promise<string> {
  const running = start(run);
  const end = await running.end;
  if (end.code !== 0) throw runError(run, end, running.output());
  return join(run.work, run.name);
}

/**
 * Trains until the checkpoint of `step` exists, kills the process, and resumes to the end. A run that got further before the
 * kill still resumes from that checkpoint, and repeats the later steps.
 */
export async function trainAndKill(run: VerifyRun, step: number): Promise<string> {
  const folder = join(run.work, run.name);
  const checkpoint = join(folder, "checkpoint", `step-${step}`, "state.json");
  const running = start(run);
  while (!running.hasEnded() && !existsSync(checkpoint)) await sleep(2);
  running.kill();
  const end = await running.end;
  if (end.signal !== "SIGKILL" && end.code !== 0) throw runError(run, end, running.output());
  await train({ ...run, overrides: [...run.overrides, `checkpoint.load_step=${step}`] });
  const resumed = JSON.parse(readFileSync(join(folder, "run.json"), "utf8")) as { starts?: number };
  if (resumed.starts !== 2) throw new Error(`${folder}: expected two starts, found ${resumed.starts}`);
  return folder;
}
