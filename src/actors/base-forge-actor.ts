// The base class of all actors: setup, run, cleanup, on every rank of a run, each rank in its own process. This file must not
// load libtorch; an actor imports its heavy parts in `setup`, so that importing its class costs nothing.
import type { Config, Degrees } from "../config/index.ts";
import type { MetricRecord } from "../metrics/index.ts";
import { acceptTypeScript, UserError } from "../util/index.ts";
import type { ActorMessage } from "./messages/events.ts";

// Whoever imports an actor's file after this may have enums and decorators in it.
acceptTypeScript();

/** Which rank an actor is, and how it sends messages. Passed in by its worker. */
export interface ActorContext {
  readonly rank: number;
  readonly localRank: number;
  readonly worldSize: number;
  readonly emit: (message: ActorMessage) => void;
}

/** Clears the stop request once run() has obeyed it. */
export const clearStop = Symbol.for("torchforge.stop-followed");

/** Replaces an actor's configuration. */
export const reconfigure = Symbol.for("torchforge.reconfigure");

/** Marks the class, so that it is recognized across two copies of this package. */
const brand = Symbol.for("torchforge.actor");

/** For an actor that was constructed directly: one rank, in this process, silent. */
const standalone: ActorContext = { rank: 0, localRank: 0, worldSize: 1, emit: () => undefined };

/** How many ranks share each part of the work; their product is the number of ranks. */
export type ParallelDims = Degrees;

/**
 * Write your own actor by extending it, in a module file that exports the class.
 *
 * @example
 * ```ts
 * import { BaseForgeActor } from "torchforge";
 *
 * export class Greeter extends BaseForgeActor {
 *   setup() {}
 *   run() {
 *     return `hello from rank ${this.rank}`;
 *   }
 *   cleanup() {}
 * }
 * ```
 */
export abstract class BaseForgeActor {
  static readonly [brand] = true;
  /** URL of the class's file: `import.meta.url`. Without it V8 is asked, which takes a moment, and knows files that Node loaded. */
  static readonly module: string | undefined = undefined;
  /** Methods that contain collectives: calling one on a single rank runs it on all ranks. */
  static readonly collective: readonly string[] = [];
  /** Configuration keys or sections that may change after setup (SpawnActor.configure), because the actor reads them again. */
  static readonly adjustable: readonly string[] = [];
  /** Checks a configuration before any process is started. @throws UserError for what can't work */
  static checkConfig(_config: Config): void | Promise<void> {}

  /** Index among all processes of the run, from 0. */
  readonly rank: number;
  /** Index among the processes on this machine; also the index of its GPU. */
  readonly localRank: number;
  readonly worldSize: number;
  /** `cpu` or `cuda:<localRank>`. */
  readonly device: string;
  readonly parallelDims: ParallelDims;
  /** Number of completed steps. */
  currentStep = 0;
  /** The latest record. */
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

  constructor(config: Config, context: ActorContext = standalone) {
    this.#config = config;
    this.#context = context;
    this.rank = context.rank;
    this.localRank = context.localRank;
    this.worldSize = context.worldSize;
    this.device = config.spec.withGpus ? `cuda:${context.localRank}` : "cpu";
    this.parallelDims = config.spec.degrees;
  }

  /** The current configuration, including changes made by SpawnActor.configure. */
  get config(): Config {
    return this.#config;
  }

  /** Loads what `run` needs. Called once, first. */
  abstract setup(): Promise<void> | void;
  /** Does the work. Rank 0's return value, plain data, is the result. */
  abstract run(): unknown;
  /** Closes files and stops threads. Called once, whatever happened before: after a failed setup, parts may be missing. */
  abstract cleanup(): Promise<void> | void;

  /**
   * Called when the user has changed adjustable keys between setup and run, or between two runs. An actor that holds copies of
   * their values updates them from `next`, or throws, and then the old configuration stays.
   */
  protected configure(_next: Config): void | Promise<void> {}

  /** @internal */
  async [reconfigure](next: Config): Promise<void> {
    await this.configure(next);
    this.#config = next;
  }

  /** Requests a graceful stop: `run` finishes the current step, saves, and returns. An override calls super.stop(). */
  stop(): void {
    this.#stopRequested = true;
  }

  /** Whether `stop` was called, before this run() or during it. */
  get stopRequested(): boolean {
    return this.#stopRequested;
  }

  /** @internal The next run() continues. */
  [clearStop](): void {
    this.#stopRequested = false;
  }

  /** Prints a line for the user. Rank 0's is shown; every rank's is logged. */
  note(text: string): void {
    this.#context.emit({ type: "note", text });
  }

  /** Streams text, such as an answer being generated. */
  text(text: string): void {
    this.#context.emit({ type: "text", text });
  }

  /** Reports a step or an evaluation to the progress bar and the charts. */
  record(record: MetricRecord): void {
    this.metrics = record;
    if (record.kind === "train") this.currentStep = record.step;
    this.#context.emit({ type: "record", record });
  }

  /** Reports the progress of something slow. */
  progress(done: number, total: number, label = ""): void {
    this.#context.emit({ type: "progress", done, total, label });
  }

  /** Announces the run folder (absolute); from then on the logs of all ranks are kept in it. */
  protected announceFolder(path: string): void {
    this.#context.emit({ type: "folder", path });
  }

  /** Announces a complete checkpoint; a restart continues from the latest one. */
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
  /** Missing in actors that extend the base class of an older copy of this package. */
  checkConfig?(config: Config): void | Promise<void>;
}

/** @throws UserError that names what was passed instead */
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
