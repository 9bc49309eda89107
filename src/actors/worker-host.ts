// The controller's side of one worker process: starts it, gives it a job, hands on what it tells. A worker that dies ends
// the job with an error that names signal or code and its last lines; a controller that ends takes its worker along.
import { fork, type ChildProcess } from "node:child_process";

import { UserError } from "../util/index.ts";
import type { FromWorker, Job, ToWorker } from "./protocol.ts";

export interface WorkerHooks {
  onMessage?: (message: Exclude<FromWorker, { type: "result" | "error" }>) => void;
}

/** The worker ended without a result. Its message says all there is to say, so that it is shown without a stack. */
class JobDied extends UserError {
  override name = "WorkerDied";
}

const keptLines = 20;

export class WorkerHost {
  readonly #child: ChildProcess;
  readonly #result: Promise<unknown>;
  #stderr = "";

  /** @param program file of the worker's program, such as `workerProgram` */
  constructor(program: string, job: Job, hooks: WorkerHooks = {}) {
    this.#child = fork(program, [], {
      execArgv: [...process.execArgv.filter((one) => !one.startsWith("--test")), "--expose-gc"],
      stdio: ["ignore", "inherit", "pipe", "ipc"],
    });
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).split("\n").slice(-keptLines).join("\n");
      process.stderr.write(text);
    });
    this.#result = this.#follow(hooks);
    this.#send({ type: "job", job });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** What the job gives. @throws UserError for a user's mistake, WorkerDied, or the worker's own error with its stack */
  get result(): Promise<unknown> {
    return this.#result;
  }

  /** Asks the job to end in good order. */
  stop(): void {
    this.#send({ type: "stop" });
  }

  /** Ends the process at once. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  #send(message: ToWorker): void {
    if (this.#child.connected) this.#child.send(message);
  }

  #follow(hooks: WorkerHooks): Promise<unknown> {
    return new Promise((resolve, reject) => {
      let ended: { value: unknown } | { error: Error } | undefined;
      this.#child.on("message", (message: FromWorker) => {
        if (message.type === "result") ended = { value: message.value };
        else if (message.type === "error") ended = { error: revive(message.error) };
        else hooks.onMessage?.(message);
      });
      this.#child.once("error", reject);
      let exit: { code: number | null; signal: NodeJS.Signals | null } | undefined;
      // The exit may be told before the last messages and lines, which are read first.
      const settle = (): void => {
        if (exit === undefined || this.#child.connected) return;
        if (ended && "value" in ended) resolve(ended.value);
        else if (ended) reject(ended.error);
        else reject(new JobDied(deathText(exit.code, exit.signal, this.#stderr)));
      };
      this.#child.once("close", (code, signal) => {
        exit = { code, signal };
        settle();
      });
      this.#child.once("disconnect", settle);
    });
  }
}

function revive(wire: {
  name: string;
  message: string;
  stack: string | undefined;
  isUserError: boolean;
  exitCode: 1 | 2;
}): Error {
  if (wire.isUserError) return new UserError(wire.message, { exitCode: wire.exitCode });
  const error = new Error(wire.message);
  error.name = wire.name;
  if (wire.stack !== undefined) error.stack = wire.stack;
  return error;
}

function deathText(code: number | null, signal: NodeJS.Signals | null, stderr: string): string {
  const how = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
  const memory =
    signal === "SIGKILL"
      ? " If you didn't end it, the system most likely ran out of memory: lower training.local_batch_size or training.seq_len."
      : "";
  const last = stderr.trim();
  return `the worker process ${how}.${memory}${last ? `\nIts last lines:\n${last}` : ""}`;
}
