// The contract of all actors: something that is set up, runs, and cleans up, on every rank of a run, in processes of their
// own. It loads no libtorch; an actor imports its heavy parts in `setup`, so that importing its class costs nothing.
import type { Config, Degrees } from "../config/index.ts";
import type { MetricRecord } from "../metrics/index.ts";
import { UserError } from "../util/index.ts";
import type { ActorMessage } from "./messages/events.ts";

/** Where an actor runs, and how it is heard. Its worker gives it. */
export interface ActorContext {
  readonly rank: number;
  readonly localRank: number;
  readonly worldSize: number;
  readonly emit: (message: ActorMessage) => void;
}

/** Takes the user's stop back, once run() has followed it. */
export const stopFollowed = Symbol.for("torchforge.stop-followed");

/** Gives an actor another configuration. */
export const reconfigure = Symbol.for("torchforge.reconfigure");

/** Marks the class, also between two copies of this package. */
const brand = Symbol.for("torchforge.actor");

/** An actor that nobody spawned: one rank, in this process, silent. */
const alone: ActorContext = { rank: 0, localRank: 0, worldSize: 1, emit: () => undefined };

/** How many ranks share each part of the work; their product is the number of ranks. */
export type ParallelDims = Degrees;

/**
 * Write your own by extending it, in a module file that exports the class:
 *
 *     export class Greeter extends BaseForgeActor {
 *       async setup() {}
 *       async run() { return `hello from rank ${this.rank}`; }
 *       async cleanup() {}
 *     }
 */
export abstract class BaseForgeActor {
  static readonly [brand] = true;
  /** The file of the class, `import.meta.url`. Found without it wherever Node loaded the file itself. */
  static readonly module: string | undefined = undefined;
  /** Methods that all ranks must run together, because they talk to each other: called on one, they run on all. */
  static readonly collective: readonly string[] = [];
  /** Keys, or sections, that may change after setup (SpawnActor.configure), since the actor reads them again. */
  static readonly adjustable: readonly string[] = [];
  /** Looks at a configuration before any process is started; throws a UserError for what can't work. */
  static checkConfig(_config: Config): void | Promise<void> {}

  /** Of all processes of the run, from 0. */
  readonly rank: number;
  /** Of the processes on this machine; the number of its GPU. */
  readonly localRank: number;
  readonly worldSize: number;
  /** `cpu`, or `cuda:` and the local rank. */
  readonly device: string;
  readonly parallelDims: ParallelDims;
  /** Steps that are done. */
  currentStep = 0;
  /** The last record of the actor. */
  metrics: MetricRecord | undefined = undefined;
  model: unknown = undefined;
  optimizer: unknown = undefined;
  lrScheduler: unknown = undefined;
  checkpointer: unknown = undefined;
  tokenizer: unknown = undefined;
  dataloader: unknown = undefined;

  #config: Config;
  #stopRequested = false;
  readonly #context: ActorContext;

  constructor(config: Config, context: ActorContext = alone) {
    this.#config = config;
    this.#context = context;
    this.rank = context.rank;
    this.localRank = context.localRank;
    this.worldSize = context.worldSize;
    this.device = config.spec.withGpus ? `cuda:${context.localRank}` : "cpu";
    this.parallelDims = config.spec.degrees;
  }

  /** What it was spawned with, and since then configured to. */
  get config(): Config {
    return this.#config;
  }

  /** Loads what `run` needs. Once, before everything else. */
  abstract setup(): Promise<void> | void;
  /** Does the work. What rank 0 returns is the result: plain data. */
  abstract run(): unknown;
  /** Closes files, ends threads. Once, whatever happened before; after a failed setup parts may be missing. */
  abstract cleanup(): Promise<void> | void;

  /**
   * The user has changed some of its adjustable keys, between setup and run or between two runs. An actor that holds on to
   * their values takes the new ones from `next`, or throws, and everything stays as it was.
   */
  protected configure(_next: Config): void | Promise<void> {}

  /** @internal */
  async [reconfigure](next: Config): Promise<void> {
    await this.configure(next);
    this.#config = next;
  }

  /** The user asks for an end in good order. `run` finishes what it is at, saves, and returns; call super.stop(). */
  stop(): void {
    this.#stopRequested = true;
  }

  /** Whether `stop` was called, before this run() or during it. */
  get stopRequested(): boolean {
    return this.#stopRequested;
  }

  /** @internal The next run() goes on. */
  [stopFollowed](): void {
    this.#stopRequested = false;
  }

  /** Says a line to the user. That of rank 0 is shown; all are logged. */
  note(text: string): void {
    this.#context.emit({ type: "note", text });
  }

  /** Shows text as it comes, such as an answer being generated. */
  text(text: string): void {
    this.#context.emit({ type: "text", text });
  }

  /** Reports a step or an evaluation: progress bar, charts. */
  record(record: MetricRecord): void {
    this.metrics = record;
    if (record.kind === "train") this.currentStep = record.step;
    this.#context.emit({ type: "record", record });
  }

  /** Reports how far something is that takes long. */
  progress(done: number, total: number, label = ""): void {
    this.#context.emit({ type: "progress", done, total, label });
  }

  /** Tells the folder of the run (absolute), where the logs of all ranks are then kept. */
  protected announceFolder(path: string): void {
    this.#context.emit({ type: "folder", path });
  }

  /** Tells that a checkpoint is complete; a restart goes on from the last one. */
  protected announceCheckpoint(step: number, path: string): void {
    this.#context.emit({ type: "checkpoint", step, path });
  }
}

/** A class that can be spawned. */
export interface ActorClass<A extends BaseForgeActor = BaseForgeActor> {
  new (config: Config, context?: ActorContext): A;
  readonly name: string;
  readonly module: string | undefined;
  readonly collective: readonly string[];
  readonly adjustable?: readonly string[];
  /** Of the base class; an actor of another copy of this package may lack it. */
  checkConfig?(config: Config): void | Promise<void>;
}

/** @throws UserError naming what was given instead */
export function assertActorClass(given: unknown, caller: string): asserts given is ActorClass {
  if (typeof given === "function" && (given as unknown as Record<symbol, unknown>)[brand] === true) {
    const methods = ["setup", "run", "cleanup"];
    const prototype = given.prototype as Record<string, unknown>;
    const missing = methods.filter((name) => typeof prototype[name] !== "function");
    if (missing.length === 0) return;
    throw new UserError(
      `${caller}: ${given.name} lacks ${missing.map((name) => `${name}()`).join(", ")}; an actor has setup(), run() and cleanup().`,
    );
  }
  const found =
    typeof given === "function"
      ? given.name || "a nameless function"
      : given === null || typeof given !== "object"
        ? typeof given === "string"
          ? `text ${JSON.stringify(given)}`
          : String(given)
        : `an object of ${given.constructor?.name ?? "no class"}`;
  throw new UserError(
    `${caller}: expected a class that extends BaseForgeActor, such as TrainerActor; found ${found}.`,
  );
}
