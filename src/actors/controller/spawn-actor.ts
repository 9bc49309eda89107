// The life of an actor in processes of its own: spawn, setup, run, cleanup, in this order, each once (run may go on after a
// stop). Whatever goes wrong, the actor is cleaned up and no process stays; the first error is the one that is thrown.
import { basename, dirname } from "node:path";
import { inspect } from "node:util";

import { Config, followsOthers, launcherOverrides, type ConfigInput } from "../../config/index.ts";
import { asError, removeLeftovers, UserError } from "../../util/index.ts";
import { makeHandle, handleNames, type ActorHandle } from "./actor-handle.ts";
import { fileBeingLoaded } from "../worker/actor-runner.ts";
import { assertActorClass, type ActorClass, type BaseForgeActor } from "../base-forge-actor.ts";
import { attach, WorkerDied } from "../messages/errors.ts";
import type { ActorEvent, ActorMessage, Phase } from "../messages/events.ts";
import { EventStream } from "./event-stream.ts";
import { isLaunchedRank, LaunchedMesh } from "./launched-mesh.ts";
import { placeOf, type ClassPlace } from "./locate-class.ts";
import type { Mesh } from "./mesh.ts";
import { checkPlain } from "../messages/plain.ts";
import { makePresenter, type Presenter, type PresenterFactory } from "../show/presenter.ts";
import { ProcessMesh } from "./process-mesh.ts";
import { RankLogs } from "./rank-logs.ts";
import { runFolders } from "./run-folders.ts";
import { onInterrupt } from "./signals.ts";

/** What an actor's `run` gives. */
export type ResultOf<A extends BaseForgeActor> = Awaited<ReturnType<A["run"]>>;

export interface SpawnOptions {
  /** How it is shown: default as setPresenter says, in a terminal; `false` shows nothing. */
  presenter?: PresenterFactory | false;
  /** Hears every event. */
  onEvent?: (event: ActorEvent) => void;
  /**
   * runFullLifecycle turns Ctrl-C into stop(), and a second one into kill(). Default: where the program has no handler of
   * its own for SIGINT.
   */
  handleSignals?: boolean;
}

/** Where an actor is in its life. */
export type State = "new" | "spawned" | "ready" | "ran" | "over";

const order = "The order is spawn(), setup(), run(), cleanup(); runFullLifecycle() does all of them.";

export class SpawnActor<A extends BaseForgeActor> implements AsyncDisposable {
  #config: Config;
  readonly #class: ActorClass<A>;
  readonly #options: SpawnOptions;
  readonly #events = new EventStream<ActorEvent>();
  readonly #logs = new RankLogs();
  #presenter: Presenter | undefined;
  #mesh: Mesh | undefined;
  #place: ClassPlace | undefined;
  #handle: ActorHandle<A> | undefined;
  #state: State = "new";
  /** The phase that is under way. */
  #under: { phase: Phase | "configure"; settled: Promise<unknown> } | undefined;
  #cleanup: Promise<void> | undefined;
  /** Why it is over, where something went wrong. */
  #failure: Error | undefined;
  #stopping = false;
  #folder: string | undefined;
  #checkpoint: number | undefined;

  /**
   * @param config a Config, or sections for Config.create
   * @throws UserError for a class that is no actor, ConfigError for a configuration with mistakes
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
    const given = config instanceof Config ? config : Config.create(config);
    // Under a launcher processes.procs is what it started.
    this.#config = isLaunchedRank() ? given.with(launcherOverrides(process.env)) : given;
    this.#options = options;
  }

  /** The configuration; what was given is never changed. */
  get config(): Config {
    return this.#config;
  }

  get state(): State {
    return this.#state;
  }

  /** The handle that spawn() gave. @throws UserError before */
  get actor(): ActorHandle<A> {
    if (this.#handle === undefined) throw new UserError(`actor: there is none before spawn(). ${order}`);
    return this.#handle;
  }

  /** Process ids of the workers, by rank; empty where there are none. */
  get pids(): readonly (number | undefined)[] {
    return this.#mesh instanceof ProcessMesh ? this.#mesh.pids : [];
  }

  /** Starts the processes, joins them, and makes the actor on each. */
  spawn(): Promise<ActorHandle<A>> {
    return this.#phase("spawn", ["new"], async () => {
      await this.#class.checkConfig?.(this.config);
      if (!isLaunchedRank()) this.#place = await placeOf(this.#class);
      await this.#startMesh(this.config);
      this.#handle ??= this.#makeHandle();
      this.#state = "spawned";
      return this.#handle;
    });
  }

  /** Loads model, data and checkpoint: what the actor's own setup does, on every rank. */
  setup(): Promise<void> {
    return this.#phase("setup", ["spawned"], async () => {
      await this.#mesh!.phase("setup");
      this.#state = "ready";
    });
  }

  /** Runs the actor; gives what it returns on rank 0. After a stop() it may be called again, and goes on. */
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
   * Changes the configuration between setup() and run(), or between two run(): sections that are merged in, or dot-list
   * overrides. Only keys that the actor's class calls adjustable; what setup() has made use of stays as it is.
   * @throws UserError naming the keys that can't change any more; then nothing has changed
   */
  async configure(changes: ConfigInput | readonly string[]): Promise<void> {
    const refusal = this.#refusal("configure", ["ready", "ran"]);
    if (refusal !== undefined) throw refusal;
    const { adjustable = [], name } = this.#class;
    const changedIn = (next: Config): string[] => this.#config.diff(next).map(({ key }) => key);
    const isFixed = (key: string): boolean =>
      !adjustable.some((one) => key === one || key.startsWith(`${one}.`));
    let next = this.#config.with(changes);
    // A default that follows another key, and that setup() has made use of, stays as it is.
    const following = changedIn(next).filter((key) => isFixed(key) && followsOthers(key));
    if (following.length > 0) next = this.#config.pinned(following).with(changes);
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
        // Some ranks may have taken it.
        await this.#mesh!.configure(this.#config).catch((later: unknown) => attach(error as Error, [later]));
        throw error;
      }
      this.#config = next;
    })().finally(() => (this.#under = undefined));
    this.#under = { phase: "configure", settled };
    await settled;
  }

  /** Asks the actor to end in good order: a trainer finishes its step, saves, and run() returns. */
  stop(): void {
    this.#stopping = true;
    this.#mesh?.stop();
  }

  /** Ends the processes at once. The phase that is under way fails; where there is none, nothing is left to clean up. */
  async kill(): Promise<void> {
    await this.#kill("the actor was ended by kill()");
  }

  async #kill(why: string): Promise<void> {
    this.#stopping = true;
    this.#failure ??= new UserError(why);
    const { pids } = this;
    await this.#mesh?.kill();
    if (this.#under !== undefined || this.#cleanup !== undefined) return;
    this.#sweep(pids);
    this.#over();
    this.#cleanup = Promise.resolve();
  }

  /** Cleans the actor up and ends its processes; once, however often it is called. Ends a run() that is under way first. */
  cleanup(): Promise<void> {
    return (this.#cleanup ??= this.#cleanUp());
  }

  /** All phases. Cleans up whatever happens; gives what run() gives. */
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
      await this.cleanup().catch((later: unknown) => attach(error as Error, [later]));
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

  /** One phase: in its order, alone, and with an end of everything when it fails. */
  #phase<T>(phase: Phase, from: readonly State[], work: () => Promise<T>): Promise<T> {
    const refusal = this.#refusal(phase, from);
    if (refusal !== undefined) return Promise.reject(refusal);
    const settled = (async () => {
      try {
        // Before anything happens: it is what hears an interrupt.
        if (phase === "spawn") this.#presenter = this.#makePresenter();
        this.#publish({ type: "phase", phase, state: "begun" });
        const result = await work();
        this.#publish({ type: "phase", phase, state: "done" });
        return result;
      } catch (error) {
        this.#publish({ type: "phase", phase, state: "failed" });
        throw await this.#fail(asError(error));
      } finally {
        this.#under = undefined;
      }
    })();
    this.#under = { phase, settled };
    return settled;
  }

  #refusal(phase: Phase | "configure", from: readonly State[]): UserError | undefined {
    const { name } = this.#class;
    if (this.#under !== undefined)
      return new UserError(
        `${phase}(): ${this.#under.phase}() of ${name} is still under way; await it first. ${order}`,
      );
    if (from.includes(this.#state) && this.#cleanup === undefined) return undefined;
    if (this.#state === "over" || this.#cleanup !== undefined) {
      const why = this.#failure === undefined ? "" : ` (after: ${this.#failure.message.split("\n")[0]})`;
      return new UserError(`${phase}(): ${name} has been cleaned up${why}; make a new SpawnActor. ${order}`);
    }
    const done = {
      new: "nothing has run",
      spawned: "spawn() has run",
      ready: "setup() has run",
      ran: "run() has run",
    };
    return new UserError(`${phase}() is out of order for ${name}: ${done[this.#state]}. ${order}`);
  }

  async #fail(error: Error): Promise<Error> {
    const first = this.#failure ?? error;
    this.#failure = first;
    const pids = this.pids;
    const later = (await this.#mesh?.abandon()) ?? [];
    this.#sweep(pids);
    this.#over();
    this.#cleanup ??= Promise.resolve();
    return attach(first, later);
  }

  async #cleanUp(): Promise<void> {
    if (this.#under !== undefined) {
      this.stop();
      await this.#under.settled.catch(() => undefined); // whoever called that phase has its error
    }
    if (this.#mesh === undefined || this.#state === "over") {
      this.#over();
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
      this.#over();
    }
  }

  /** Removes what dead workers were writing in the run's folder: they can't. */
  #sweep(pids: readonly (number | undefined)[]): void {
    if (this.#folder === undefined) return;
    for (const folder of runFolders(this.#folder, this.config))
      for (const pid of pids) if (pid !== undefined) removeLeftovers(folder, pid);
  }

  #over(): void {
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
      worldSize: this.config.processes.procs,
      stop: () => this.stop(),
      kill: () => void this.kill(),
    });
  }

  /** Processes with an actor each, which hear of a stop() that came before them. */
  async #startMesh(config: Config): Promise<Mesh> {
    if (this.#failure !== undefined) throw this.#failure; // kill() found no process to end
    this.#mesh = this.#makeMesh(config);
    if (this.#stopping) this.#mesh.stop();
    await this.#mesh.start();
    return this.#mesh;
  }

  #makeMesh(config: Config): Mesh {
    if (this.#place === undefined)
      return new LaunchedMesh(this.#class, config, (rank, message) => this.#heard(rank, message));
    return new ProcessMesh({
      order: { place: this.#place, config: config.toObject() },
      onMessage: (rank, message) => this.#heard(rank, message),
      onLine: (rank, stream, text) => {
        this.#logs.write(rank, text);
        this.#publish({ type: "log", rank, stream, text });
      },
      logFile: (rank) => this.#logs.fileOf(rank),
      onLost: (pid) => this.#sweep([pid]),
    });
  }

  /** Runs; after a worker's death starts the mesh again, as often as processes.max_restarts allows. */
  async #runRestarting(): Promise<unknown> {
    const { maxRestarts: most } = this.config.spec;
    for (let restarts = 0; ; restarts++) {
      try {
        if (restarts > 0) await this.#startAgain();
        return await this.#mesh!.phase("run");
      } catch (error) {
        if (!(error instanceof WorkerDied) || restarts >= most || this.#stopping) throw error;
        const { pids } = this;
        await this.#mesh!.kill();
        this.#sweep(pids);
        this.#publish({ type: "restart", attempt: restarts + 1, of: most, reason: error.message });
        if (this.#stopping) throw error; // meanwhile
      }
    }
  }

  async #startAgain(): Promise<void> {
    const { job, checkpoint } = this.config;
    const folder = this.#folder;
    const config = this.config.with({
      // The same run, from its last checkpoint; before the first one, from where it began.
      job: folder === undefined ? job : { ...job, dump_folder: dirname(folder), name: basename(folder) },
      // -1 is the latest; another step was where this run began, not where it is.
      checkpoint: {
        ...checkpoint,
        load_step: checkpoint.load_step === -1 ? -1 : (this.#checkpoint ?? checkpoint.load_step),
      },
    });
    const mesh = await this.#startMesh(config);
    await mesh.phase("setup");
  }

  #heard(rank: number, message: ActorMessage): void {
    if (message.type === "note") this.#logs.write(rank, message.text);
    if (rank === 0 && message.type === "folder") {
      this.#folder = message.path;
      // Under a launcher each rank's output is the launcher's.
      if (this.#mesh instanceof ProcessMesh) this.#logs.open(message.path, this.config.processes.procs);
    }
    if (rank === 0 && message.type === "checkpoint") this.#checkpoint = message.step;
    this.#publish({ ...message, rank });
  }

  #publish(event: ActorEvent): void {
    this.#presenter?.event(event);
    this.#options.onEvent?.(event);
    this.#events.push(event);
  }

  #describe(): string {
    const { procs } = this.config.processes;
    return `${this.#class.name} (${this.#state}, ${procs} ${procs === 1 ? "process" : "processes"})`;
  }

  /** What a notebook or console.log shows. */
  [inspect.custom](): string {
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
      call: async (asked, name, args) => {
        for (const [i, one] of args.entries()) checkPlain(one, `argument ${i + 1} of actor.${name}()`);
        const { ranks } = mesh();
        const isTogether =
          actorClass.collective.includes(name) && asked.every((rank) => ranks.includes(rank));
        const called = isTogether ? ranks : asked; // a rank that there isn't is refused by name
        const results = await Promise.all(called.map((rank) => mesh().call(rank, name, args)));
        return asked.map((rank) => results[called.indexOf(rank)]);
      },
      events: () => this.#events.read(),
      describe: () => this.#describe(),
    });
  }
}
