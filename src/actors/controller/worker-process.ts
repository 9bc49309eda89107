// The controller's side of one worker process: starts it, calls it, hears what it says and writes, learns how it ended.
// The other side is worker-side.ts.
import { fork, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

import type { BirpcReturn } from "birpc";

import { fromWire, lastWords, workerDied, type WorkerDied } from "../messages/errors.ts";
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
  /** A line that it wrote. */
  onLine: (stream: "stdout" | "stderr", text: string) => void;
  /** Where its lines are kept, if they are yet. */
  logFile: () => string | undefined;
  /** The controller ends and has killed this one; what it was writing can go. */
  onLost: (pid: number) => void;
}

const keptLines = 20;

/** All that run. A controller that ends takes them along. */
const alive = new Set<WorkerProcess>();
const killAll = (): void => {
  for (const one of alive) one.kill();
  for (const one of alive) one.lose();
};

export class WorkerProcess {
  readonly rank: number;
  readonly pid: number | undefined;
  /** Resolves when it has ended and all that it sent is read. */
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
            // Without a channel the process is gone; its end rejects the call.
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
    this.ended = this.#follow();
    this.#keepsUsAlive(false);
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Why it isn't there any more. */
  get death(): WorkerDied | undefined {
    return this.#death;
  }

  /** What it wrote last, and where the rest is, for the end of an error's message. */
  get lastWords(): readonly string[] {
    return lastWords(this.#lastLines, this.#options.logFile());
  }

  /** @throws what the worker threw; WorkerDied when it has ended or ends before it answers */
  async call<K extends keyof WorkerFunctions>(
    name: K,
    ...args: Parameters<WorkerFunctions[K]>
  ): Promise<Awaited<ReturnType<WorkerFunctions[K]>>> {
    if (this.#death) throw this.#death;
    if (this.#pending++ === 0) this.#keepsUsAlive(true);
    try {
      return await this.#rpc.$call(name, ...args);
    } finally {
      if (--this.#pending === 0 && !this.#hasEnded) this.#keepsUsAlive(false);
    }
  }

  /** Asks the actor to end in good order. */
  stop(): void {
    if (!this.#hasEnded) void this.#rpc.stop.asEvent();
  }

  /** Lets the process go; after the limit it is killed. Resolves when it is gone. */
  async leave(limitSeconds = 20): Promise<void> {
    if (this.#hasEnded) return;
    this.#leaving = true;
    this.#keepsUsAlive(true);
    void this.#rpc.leave.asEvent();
    const timer = setTimeout(() => this.kill(), limitSeconds * 1000);
    await this.ended;
    clearTimeout(timer);
  }

  /** Ends the process at once. */
  kill(): void {
    this.#child.kill("SIGKILL");
  }

  /** After kill(), where nobody will wait for its end. */
  lose(): void {
    if (this.pid !== undefined) this.#options.onLost(this.pid);
  }

  /** Kills and waits. */
  async end(): Promise<void> {
    this.#keepsUsAlive(true);
    this.kill();
    await this.ended;
  }

  #readLines(stream: "stdout" | "stderr"): void {
    const reader = new LineReader((text) => {
      this.#lastLines.push(text);
      if (this.#lastLines.length > keptLines) this.#lastLines.shift();
      this.#options.onLine(stream, text);
    });
    const output = this.#child[stream]!;
    output
      .setEncoding("utf8")
      .on("data", (text: string) => reader.push(text))
      .on("close", () => reader.end());
  }

  #follow(): Promise<void> {
    const child = this.#child;
    return new Promise((resolve) => {
      let exit: { code: number | null; signal: NodeJS.Signals | null } | undefined;
      // The exit may be told before the last messages and lines, which are read first.
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
          wasAsked: this.#leaving,
          lastWords: this.lastWords,
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

  /** A worker that nobody waits for doesn't keep the controller's program from ending. */
  #keepsUsAlive(on: boolean): void {
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

/** What a launcher of the controller said about the controller is not for its workers. */
function withoutLauncher(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(
      ([name]) => !name.startsWith("TORCHELASTIC_") && name !== "MASTER_ADDR" && name !== "MASTER_PORT",
    ),
  );
}
