// The controller's side of one worker process: starts it, calls it, receives its messages and output, and reports how it
// ended. The worker's side is worker-side.ts.
import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

import type { BirpcReturn } from "birpc";

import { fromWire, lastOutput, workerDied, type WorkerDied } from "../messages/errors.ts";
import type { ActorMessage } from "../messages/events.ts";
import { connect } from "../messages/ipc.ts";
import { LineReader } from "./line-reader.ts";
import { programArguments } from "./program-arguments.ts";
import { workerProgram } from "./programs.ts";
import type { ControllerFunctions, WorkerFunctions } from "../messages/protocol.ts";

export interface WorkerOptions {
  rank: number;
  worldSize: number;
  onMessage: (message: ActorMessage) => void;
  /** Called for each line that the worker wrote. */
  onLine: (stream: "stdout" | "stderr", text: string) => void;
  /** The worker's log file, once there is one. */
  logFile: () => string | undefined;
  /** The controller is exiting and has killed this worker, whose unfinished files can be removed. */
  onLost: (pid: number) => void;
}

const maxLastLines = 20;

/** Running workers, which are killed when the controller exits. */
const alive = new Set<WorkerProcess>();
const killAll = (): void => {
  for (const worker of alive) worker.kill();
  for (const worker of alive) worker.reportLost();
};

export class WorkerProcess {
  readonly rank: number;
  readonly pid: number | undefined;
  /** Resolves when the process has exited and everything it sent has been read. */
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  readonly #rpc: BirpcReturn<WorkerFunctions, ControllerFunctions>;
  readonly #options: WorkerOptions;
  readonly #lastLines: string[] = [];
  #death: WorkerDied | undefined;
  #hasEnded = false;
  #leaving = false;
  #pending = 0;

  constructor(options: WorkerOptions) {
    this.rank = options.rank;
    this.#options = options;
    const { rank, worldSize } = options;
    const child = fork(fileURLToPath(workerProgram), [], {
      execArgv: programArguments(process.execArgv),
      serialization: "advanced",
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      env: {
        ...withoutLauncher(process.env),
        RANK: String(rank),
        LOCAL_RANK: String(rank),
        WORLD_SIZE: String(worldSize),
        LOCAL_WORLD_SIZE: String(worldSize),
      },
    });
    this.#child = child;
    this.pid = child.pid;
    if (alive.size === 0) process.on("exit", killAll);
    alive.add(this);
    this.#readLines("stdout");
    this.#readLines("stderr");
    const origin = worldSize > 1 ? `rank ${rank}` : undefined;
    this.#rpc = connect<WorkerFunctions, ControllerFunctions>(
      { emit: (messages) => messages.forEach((message) => options.onMessage(message)) },
      {
        post: (data) =>
          new Promise((resolve, reject) => {
            // Without a channel the process is gone, and its exit rejects the call.
            if (!child.connected) return resolve();
            child.send(data as object, (error) => {
              if (error && child.connected) reject(error);
              else resolve();
            });
          }),
        listen: (listener) => child.on("message", listener),
      },
      (wire) => fromWire(wire, rank, origin),
    );
    this.ended = this.#waitForExit();
    this.#setRef(false);
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** How the process ended. */
  get death(): WorkerDied | undefined {
    return this.#death;
  }

  /** The last lines it wrote and where its log is, for the end of an error message. */
  get lastOutput(): readonly string[] {
    return lastOutput(this.#lastLines, this.#options.logFile());
  }

  /** @throws the worker's error, or WorkerDied if the process ends before it answers */
  async call<K extends keyof WorkerFunctions>(
    name: K,
    ...args: Parameters<WorkerFunctions[K]>
  ): Promise<Awaited<ReturnType<WorkerFunctions[K]>>> {
    if (this.#death) throw this.#death;
    if (this.#pending++ === 0) this.#setRef(true);
    try {
      return await this.#rpc.$call(name, ...args);
    } finally {
      if (--this.#pending === 0 && !this.#hasEnded) this.#setRef(false);
    }
  }

  /** Requests a graceful stop of the actor. */
  stop(): void {
    if (!this.#hasEnded) void this.#rpc.stop.asEvent();
  }

  /** Asks the process to exit, and kills it after the time limit. Resolves when it is gone. */
  async leave(limitSeconds = 20): Promise<void> {
    if (this.#hasEnded) return;
    this.#leaving = true;
    this.#setRef(true);
    void this.#rpc.leave.asEvent();
    const timer = setTimeout(() => this.kill(), limitSeconds * 1000);
    await this.ended;
    clearTimeout(timer);
  }

  /** Kills the process. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** To be called after kill() if nobody waits for the exit. */
  reportLost(): void {
    if (this.pid !== undefined) this.#options.onLost(this.pid);
  }

  /** Kills the process and waits for its exit. */
  async end(): Promise<void> {
    this.#setRef(true);
    this.kill();
    await this.ended;
  }

  #readLines(stream: "stdout" | "stderr"): void {
    const reader = new LineReader((text) => {
      this.#lastLines.push(text);
      if (this.#lastLines.length > maxLastLines) this.#lastLines.shift();
      this.#options.onLine(stream, text);
    });
    const output = this.#child[stream]!;
    output
      .setEncoding("utf8")
      .on("data", (text: string) => reader.push(text))
      .on("close", () => reader.end());
  }

  #waitForExit(): Promise<void> {
    const child = this.#child;
    return new Promise((resolve) => {
      let exit: { code: number | null; signal: NodeJS.Signals | null } | undefined;
      // The exit event may come before the last messages and lines, which must be read first.
      const settle = (): void => {
        if (exit === undefined || child.connected || this.#hasEnded) return;
        this.#hasEnded = true;
        alive.delete(this);
        if (alive.size === 0) process.off("exit", killAll);
        const { rank, worldSize } = this.#options;
        const death = workerDied({
          rank,
          worldSize,
          ...exit,
          wasRequested: this.#leaving,
          lastOutput: this.lastOutput,
        });
        this.#death = death;
        void this.#rpc.$rejectPendingCalls(({ reject }) => {
          reject(death);
        });
        this.#rpc.$close();
        child.removeAllListeners("message");
        resolve();
      };
      child.once("error", (error) => {
        exit ??= { code: null, signal: null };
        this.#lastLines.push(error.message);
        settle();
      });
      child.once("close", (code, signal) => {
        exit = { code, signal };
        settle();
      });
      child.once("disconnect", settle);
    });
  }

  /** Without pending calls, the worker is unref'd so that it doesn't keep the controller's program running. */
  #setRef(on: boolean): void {
    const child = this.#child;
    const parts = [child, child.channel, child.stdout, child.stderr] as (
      | { ref?(): void; unref?(): void }
      | null
      | undefined
    )[];
    for (const part of parts) {
      if (on) part?.ref?.();
      else part?.unref?.();
    }
  }
}

/** A launcher's variables describe the controller, not its workers. */
function withoutLauncher(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(
      ([name]) => !name.startsWith("TORCHELASTIC_") && name !== "MASTER_ADDR" && name !== "MASTER_PORT",
    ),
  );
}
