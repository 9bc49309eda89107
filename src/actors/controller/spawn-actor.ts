// The lifecycle of an actor in its own processes: spawn, setup, run, cleanup, in this order, each once (run may be repeated
// after a stop). Whatever goes wrong, the actor is cleaned up, no process is left, and the first error is the one thrown.
import { basename, dirname } from "node:path";

import { Config, followsOthers, launcherOverrides, type ConfigInput } from "../../config/index.ts";
import {
  adoptLauncher,
  asError,
  removeLeftovers,
  requireNode,
  requireProgram,
  UserError,
} from "../../util/index.ts";
import { makeHandle, handleNames, type ActorHandle } from "./actor-handle.ts";
import { fileBeingLoaded } from "../worker/actor-runner.ts";
import { assertActorClass, type ActorClass, type BaseForgeActor } from "../base-forge-actor.ts";
import { attachErrors, WorkerDied } from "../messages/errors.ts";
import type { ActorEvent, ActorMessage, Phase } from "../messages/events.ts";
import { EventStream } from "./event-stream.ts";
import { isLaunchedRank, LaunchedMesh } from "./launched-mesh.ts";
import { locateClass, type ClassLocation } from "./locate-class.ts";
import type { Mesh } from "./mesh.ts";
import { checkPlain } from "../messages/plain.ts";
import { makePresenter, type Presenter, type PresenterFactory } from "../show/presenter.ts";
import { ProcessMesh } from "./process-mesh.ts";
import { RankLogs } from "./rank-logs.ts";
import { workerProgram } from "./programs.ts";
import { runFolders } from "./run-folders.ts";
import { onInterrupt } from "./signals.ts";

/** What an actor's `run` returns. */
export type ResultOf<A extends BaseForgeActor> = Awaited<ReturnType<A["run"]>>;

export interface SpawnOptions {
  /** How the actor is shown. Default: setPresenter's, else the terminal; `false` shows nothing. */
  presenter?: PresenterFactory | false;
  /** Called with every event. */
  onEvent?: (event: ActorEvent) => void;
  /**
   * runFullLifecycle turns Ctrl-C into stop(), and a second one into kill(). Default: true unless the program has its own
   * handler for SIGINT.
   */
  handleSignals?: boolean;
}

/** Where an actor is in its lifecycle. */
export type State = "new" | "spawned" | "ready" | "ran" | "over";

const orderHint = "The order is spawn(), setup(), run(), cleanup(); runFullLifecycle() does all of them.";

/**
 * Runs an actor in its own processes, phase by phase; runActor does all phases in one call.
 *
 * @example
 * ```ts no-run
 * import { Config, SpawnActor, TrainerActor } from "torchforge";
 *
 * await using spawner = new SpawnActor(TrainerActor, Config.create({ model: { hf_assets_path: "./model" } }));
 * const actor = await spawner.spawn();
 * await spawner.setup();
 * console.log(await actor.device); // a property of the actor, read from its process
 * const { checkpoint } = await spawner.run();
 * ```
 */
export class SpawnActor<A extends BaseForgeActor> implements AsyncDisposable {
  #config: Config;
  readonly #class: ActorClass<A>;
  readonly #options: SpawnOptions;
  readonly #events = new EventStream<ActorEvent>();
  readonly #logs = new RankLogs();
  #presenter: Presenter | undefined;
  #mesh: Mesh | undefined;
  #classLocation: ClassLocation | undefined;
  #handle: ActorHandle<A> | undefined;
  #state: State = "new";
  /** The phase in progress. */
  #running: { phase: Phase | "configure"; settled: Promise<unknown> } | undefined;
  #cleanup: Promise<void> | undefined;
  /** The first error, if something went wrong. */
  #failure: Error | undefined;
  #stopping = false;
  #folder: string | undefined;
  #lastCheckpoint: number | undefined;

  /**
   * @param config a Config, or sections for Config.create
   * @throws UserError if the class isn't an actor, ConfigError for an invalid configuration
   */
  constructor(actorClass: ActorClass<A>, config: Config | ConfigInput, options: SpawnOptions = {}) {
    assertActorClass(actorClass, "SpawnActor");
    const taken = handleNames.filter((name) => name in actorClass.prototype);
    if (taken.length > 0) {
      throw new UserError(
        `${actorClass.name}: ${taken.join(", ")} can't be a name of an actor's method, because its handle has one of that name; choose another`,
      );
    }
    const file = fileBeingLoaded();
    if (file !== undefined) {
      throw new UserError(
        `${actorClass.name}: its file ${file} spawns an actor when it is imported, as a worker process does to get the class. ` +
          "Put the class into a file of its own, or spawn inside `if (import.meta.main) { … }`.",
      );
    }
    this.#class = actorClass;
    adoptLauncher();
    const base = config instanceof Config ? config : Config.create(config);
    // Under a launcher, processes.procs is the number of processes that it started.
    this.#config = isLaunchedRank() ? base.with(launcherOverrides(process.env)) : base;
    this.#options = options;
  }

  /** The current configuration. The object passed to the constructor is never changed. */
  get config(): Config {
    return this.#config;
  }

  get state(): State {
    return this.#state;
  }

  /** The handle that spawn() returned. @throws UserError before spawn() */
  get actor(): ActorHandle<A> {
    if (this.#handle === undefined) throw new UserError(`actor: there is none before spawn(). ${orderHint}`);
    return this.#handle;
  }

  /** Process ids of the workers, by rank; empty if there are none. */
  get pids(): readonly (number | undefined)[] {
    return this.#mesh instanceof ProcessMesh ? this.#mesh.pids : [];
  }

  /** The run's folder, absolute, once the actor has announced it. Under a launcher rank 0 alone knows it. */
  get runFolder(): string | undefined {
    return this.#folder;
  }

  /** Starts the processes, connects them, and creates the actor on each. */
  spawn(): Promise<ActorHandle<A>> {
    return this.#phase("spawn", ["new"], async () => {
      await this.#class.checkConfig?.(this.config);
      requireNode("SpawnActor");
      if (!isLaunchedRank()) requireProgram(workerProgram);
      if (!isLaunchedRank()) this.#classLocation = await locateClass(this.#class);
      await this.#startMesh(this.config);
      this.#handle ??= this.#makeHandle();
      this.#state = "spawned";
      return this.#handle;
    });
  }

  /** Runs the actor's setup on every rank: a trainer loads model, data and checkpoint. */
  setup(): Promise<void> {
    return this.#phase("setup", ["spawned"], async () => {
      await this.#mesh!.phase("setup");
      this.#state = "ready";
    });
  }

  /** Runs the actor; resolves to rank 0's return value. After a stop(), calling it again continues. */
  run(): Promise<ResultOf<A>> {
    const result = this.#phase("run", ["ready", "ran"], async () => {
      try {
        const result = await this.#runRestarting();
        this.#state = "ran";
        this.#stopping = false;
        return result;
      } finally {
        this.#events.end();
      }
    });
    return result as Promise<ResultOf<A>>;
  }

  /**
   * Changes the configuration between setup() and run(), or between two runs. Takes sections to merge, or dot-list overrides.
   * Only keys that the actor's class declares adjustable may change; the others have been used by setup().
   * @throws UserError that names the keys that can't change any more; then nothing has changed
   */
  async configure(changes: ConfigInput | readonly string[]): Promise<void> {
    const refusal = this.#outOfOrderError("configure", ["ready", "ran"]);
    if (refusal !== undefined) throw refusal;
    const { adjustable = [], name } = this.#class;
    const changedIn = (next: Config): string[] => this.#config.diff(next).map(({ key }) => key);
    const isFixed = (key: string): boolean =>
      !adjustable.some((one) => key === one || key.startsWith(`${one}.`));
    let next = this.#config.with(changes);
    // A default derived from another key must keep the value that setup() used.
    const derivedKeys = changedIn(next).filter((key) => isFixed(key) && followsOthers(key));
    if (derivedKeys.length > 0) next = this.#config.pinned(derivedKeys).with(changes);
    const changed = changedIn(next);
    const fixed = changed.filter(isFixed);
    if (fixed.length > 0) {
      const others =
        adjustable.length > 0
          ? `after it ${name} takes: ${adjustable.join(", ")}`
          : `${name} takes no changes`;
      throw new UserError(
        `configure(): ${fixed.join(", ")} can't change after setup(); ${others}. For anything else make a new SpawnActor with config.with({ … }).`,
      );
    }
    if (changed.length === 0) return;
    const settled = (async () => {
      await this.#class.checkConfig?.(next);
      try {
        await this.#mesh!.configure(next);
      } catch (error) {
        // Some ranks may have accepted it: restore them.
        await this.#mesh!
          .configure(this.#config)
          .catch((later: unknown) => attachErrors(error as Error, [later]));
        throw error;
      }
      this.#config = next;
    })().finally(() => (this.#running = undefined));
    this.#running = { phase: "configure", settled };
    await settled;
  }

  /** Requests a graceful stop: a trainer finishes its step, saves, and run() returns. */
  stop(): void {
    this.#stopping = true;
    this.#mesh?.stop();
  }

  /** Kills the processes. The phase in progress fails; if there is none, nothing is left to clean up. */
  async kill(): Promise<void> {
    await this.#kill("the actor was ended by kill()");
  }

  async #kill(why: string): Promise<void> {
    this.#stopping = true;
    this.#failure ??= new UserError(why);
    const { pids } = this;
    await this.#mesh?.kill();
    if (this.#running !== undefined || this.#cleanup !== undefined) return;
    this.#removeLeftovers(pids);
    this.#finish();
    this.#cleanup = Promise.resolve();
  }

  /** Stops a run() in progress, cleans up the actor and ends its processes. Further calls return the same promise. */
  cleanup(): Promise<void> {
    return (this.#cleanup ??= this.#cleanUp());
  }

  /** Runs all phases and returns run()'s result. Cleans up whatever happens. */
  async runFullLifecycle(): Promise<ResultOf<A>> {
    const handles = this.#options.handleSignals ?? process.listenerCount("SIGINT") === 0;
    const release = handles
      ? onInterrupt(
          () => this.stop(),
          () => void this.#kill("interrupted twice: the actor was ended at once"),
        )
      : undefined;
    let result: ResultOf<A>;
    try {
      await this.spawn();
      await this.setup();
      result = await this.run();
    } catch (error) {
      await this.cleanup().catch((later: unknown) => attachErrors(error as Error, [later]));
      throw error;
    } finally {
      release?.();
    }
    await this.cleanup();
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cleanup();
  }

  /** Runs one phase: in order, never two at a time. A failure ends the actor. */
  #phase<T>(phase: Phase, from: readonly State[], work: () => Promise<T>): Promise<T> {
    const refusal = this.#outOfOrderError(phase, from);
    if (refusal !== undefined) return Promise.reject(refusal);
    const settled = (async () => {
      try {
        // First of all, because the presenter handles interrupts.
        if (phase === "spawn") this.#presenter = this.#makePresenter();
        this.#publish({ type: "phase", phase, state: "begun" });
        const result = await work();
        this.#publish({ type: "phase", phase, state: "done" });
        return result;
      } catch (error) {
        this.#publish({ type: "phase", phase, state: "failed" });
        throw await this.#fail(asError(error));
      } finally {
        this.#running = undefined;
      }
    })();
    this.#running = { phase, settled };
    return settled;
  }

  #outOfOrderError(phase: Phase | "configure", from: readonly State[]): UserError | undefined {
    const { name } = this.#class;
    if (this.#running !== undefined)
      return new UserError(
        `${phase}(): ${this.#running.phase}() of ${name} is still under way; await it first. ${orderHint}`,
      );
    if (from.includes(this.#state) && this.#cleanup === undefined) return undefined;
    if (this.#state === "over" || this.#cleanup !== undefined) {
      const why = this.#failure === undefined ? "" : ` (after: ${this.#failure.message.split("\n")[0]})`;
      return new UserError(
        `${phase}(): ${name} has been cleaned up${why}; make a new SpawnActor. ${orderHint}`,
      );
    }
    const done = {
      new: "nothing has run",
      spawned: "spawn() has run",
      ready: "setup() has run",
      ran: "run() has run",
    };
    return new UserError(`${phase}() is out of order for ${name}: ${done[this.#state]}. ${orderHint}`);
  }

  async #fail(error: Error): Promise<Error> {
    const first = this.#failure ?? error;
    this.#failure = first;
    const pids = this.pids;
    const later = (await this.#mesh?.abandon()) ?? [];
    this.#removeLeftovers(pids);
    this.#finish();
    this.#cleanup ??= Promise.resolve();
    return attachErrors(first, later);
  }

  async #cleanUp(): Promise<void> {
    if (this.#running !== undefined) {
      this.stop();
      await this.#running.settled.catch(() => undefined); // thrown to the caller of that phase
    }
    if (this.#mesh === undefined || this.#state === "over") {
      this.#finish();
      return;
    }
    this.#publish({ type: "phase", phase: "cleanup", state: "begun" });
    try {
      await this.#mesh.phase("cleanup");
      await this.#mesh.end();
      this.#publish({ type: "phase", phase: "cleanup", state: "done" });
    } catch (error) {
      this.#publish({ type: "phase", phase: "cleanup", state: "failed" });
      this.#failure ??= error as Error;
      throw this.#failure;
    } finally {
      if (this.#mesh instanceof ProcessMesh) await this.#mesh.kill();
      this.#finish();
    }
  }

  /** Removes unfinished files of dead workers from the run's folders. */
  #removeLeftovers(pids: readonly (number | undefined)[]): void {
    if (this.#folder === undefined) return;
    for (const folder of runFolders(this.#folder, this.config))
      for (const pid of pids) if (pid !== undefined) removeLeftovers(folder, pid);
  }

  #finish(): void {
    this.#state = "over";
    this.#events.close();
    this.#presenter?.close();
    this.#presenter = undefined;
  }

  #makePresenter(): Presenter | undefined {
    const { presenter } = this.#options;
    if (presenter === false) return undefined;
    return (presenter ?? makePresenter)({
      actorName: this.#class.name,
      config: this.config,
      worldSize: this.config.spec.worldSize,
      stop: () => this.stop(),
      kill: () => void this.kill(),
    });
  }

  /** Starts a mesh, which also learns of a stop() that came before it. */
  async #startMesh(config: Config): Promise<Mesh> {
    if (this.#failure !== undefined) throw this.#failure; // kill() found no process to end
    this.#mesh = this.#makeMesh(config);
    if (this.#stopping) this.#mesh.stop();
    await this.#mesh.start();
    return this.#mesh;
  }

  #makeMesh(config: Config): Mesh {
    if (this.#classLocation === undefined)
      return new LaunchedMesh(this.#class, config, (rank, message) => this.#onMessage(rank, message));
    return new ProcessMesh({
      loadRequest: { classLocation: this.#classLocation, config: config.toTransfer() },
      worldSize: config.processes.procs,
      onMessage: (rank, message) => this.#onMessage(rank, message),
      onLine: (rank, stream, text) => {
        this.#logs.write(rank, text);
        this.#publish({ type: "log", rank, stream, text });
      },
      logFile: (rank) => this.#logs.fileOf(rank),
      onLost: (pid) => this.#removeLeftovers([pid]),
    });
  }

  /** Runs the actor; restarts the mesh after a worker's death, up to processes.max_restarts times. */
  async #runRestarting(): Promise<unknown> {
    const { maxRestarts } = this.config.spec;
    for (let restarts = 0; ; restarts++) {
      try {
        if (restarts > 0) await this.#restart();
        return await this.#mesh!.phase("run");
      } catch (error) {
        if (!(error instanceof WorkerDied) || restarts >= maxRestarts || this.#stopping) throw error;
        const { pids } = this;
        await this.#mesh!.kill();
        this.#removeLeftovers(pids);
        this.#publish({ type: "restart", attempt: restarts + 1, of: maxRestarts, reason: error.message });
        if (this.#stopping) throw error; // stop() was called during kill()
      }
    }
  }

  async #restart(): Promise<void> {
    const { job, checkpoint } = this.config;
    const folder = this.#folder;
    const config = this.config.with({
      // The same run folder, so that it continues from its latest checkpoint.
      job: folder === undefined ? job : { ...job, dump_folder: dirname(folder), name: basename(folder) },
      // -1 is the latest; any other step is where this run began, not where it is now.
      checkpoint: {
        ...checkpoint,
        load_step: checkpoint.load_step === -1 ? -1 : (this.#lastCheckpoint ?? checkpoint.load_step),
      },
    });
    const mesh = await this.#startMesh(config);
    await mesh.phase("setup");
  }

  #onMessage(rank: number, message: ActorMessage): void {
    if (message.type === "note") this.#logs.write(rank, message.text);
    if (rank === 0 && message.type === "folder") {
      this.#folder = message.path;
      // Under a launcher, each rank's output belongs to the launcher.
      if (this.#mesh instanceof ProcessMesh) this.#logs.open(message.path, this.config.spec.worldSize);
    }
    if (rank === 0 && message.type === "checkpoint") this.#lastCheckpoint = message.step;
    this.#publish({ ...message, rank });
  }

  #publish(event: ActorEvent): void {
    this.#presenter?.event(event);
    this.#options.onEvent?.(event);
    this.#events.push(event);
  }

  #describe(): string {
    const { worldSize: procs } = this.config.spec;
    return `${this.#class.name} (${this.#state}, ${procs} ${procs === 1 ? "process" : "processes"})`;
  }

  /** For console.log and notebooks. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `SpawnActor of ${this.#describe()}`;
  }

  #makeHandle(): ActorHandle<A> {
    const actorClass = this.#class;
    const mesh = (): Mesh => {
      if (this.#state !== "over") return this.#mesh!;
      const why = this.#failure === undefined ? "" : ` after: ${this.#failure.message.split("\n")[0]}`;
      throw new UserError(`${actorClass.name} has been cleaned up${why}; spawn it again to ask it something`);
    };
    return makeHandle<A>({
      actorClass,
      ranks: () => mesh().ranks,
      read: async (rank, name) => (name === "config" ? this.config : await mesh().read(rank, name)),
      call: async (requested, name, args) => {
        for (const [i, one] of args.entries()) checkPlain(one, `argument ${i + 1} of actor.${name}()`);
        const { ranks } = mesh();
        // A rank that doesn't exist is passed on as it is, so that the mesh refuses it by name.
        const isCollective =
          actorClass.collective.includes(name) && requested.every((rank) => ranks.includes(rank));
        const targets = isCollective ? ranks : requested;
        const results = await Promise.all(targets.map((rank) => mesh().call(rank, name, args)));
        return requested.map((rank) => results[targets.indexOf(rank)]);
      },
      events: () => this.#events.read(),
      describe: () => this.#describe(),
    });
  }
}
