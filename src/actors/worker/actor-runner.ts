// One actor in this process: makes it, runs its phases, answers reads and calls. The other end of an ActorHandle, whether
// messages come over IPC (worker-side.ts) or from the same process (launched-mesh.ts).
import { Config, nearestWord } from "../../config/index.ts";
import { UserError } from "../../util/index.ts";
import {
  assertActorClass,
  type ActorClass,
  type BaseForgeActor,
  reconfigure,
  stopFollowed,
} from "../base-forge-actor.ts";
import type { ActorMessage } from "../messages/events.ts";
import { checkPlain } from "../messages/plain.ts";
import type { StartOrder } from "../messages/protocol.ts";

export interface Rank {
  readonly rank: number;
  readonly localRank: number;
  readonly worldSize: number;
}

/** Set while a worker imports an actor's file: that file must not spawn actors of its own. */
const loading = Symbol.for("torchforge.loading-actor");
const flags = globalThis as unknown as Record<symbol, string | undefined>;

/** The file that this worker process is importing; undefined in any other process. */
export const fileBeingLoaded = (): string | undefined => flags[loading];

export class ActorRunner {
  readonly #rank: Rank;
  readonly #emit: (message: ActorMessage) => void;
  #class: ActorClass | undefined;
  #config: Config | undefined;
  #actor: BaseForgeActor | undefined;
  #stopped = false;

  constructor(rank: Rank, emit: (message: ActorMessage) => void) {
    this.#rank = rank;
    this.#emit = emit;
  }

  get config(): Config {
    return this.#config!;
  }

  async load({ place, config }: StartOrder): Promise<void> {
    // It was checked where it was made; a controller that allows more than is supported has its reasons.
    this.#config = Config.create(config, { allowUnsupported: true });
    flags[loading] = place.url;
    let module: Record<string, unknown>;
    try {
      module = (await import(place.url)) as Record<string, unknown>;
    } finally {
      flags[loading] = undefined;
    }
    const found = module[place.name];
    if (found === undefined) {
      throw new UserError(
        `${place.name}: ${place.url} exports no ${place.name}, so a worker process can't get it; write\n  export class ${place.name} extends …`,
      );
    }
    assertActorClass(found, "SpawnActor");
    this.#class = found;
  }

  /** For a class that is here already. */
  use(actorClass: ActorClass, config: Config): void {
    this.#class = actorClass;
    this.#config = config;
  }

  create(): void {
    this.#actor = new this.#class!(this.config, { ...this.#rank, emit: this.#emit });
    if (this.#stopped) this.#actor.stop();
  }

  async phase(name: "setup" | "run" | "cleanup"): Promise<unknown> {
    const result: unknown = await this.#actor?.[name]();
    if (name === "run") this.#actor?.[stopFollowed]();
    if (name !== "run") return undefined;
    checkPlain(result, "the result of run()");
    return result;
  }

  async configure(config: Config): Promise<void> {
    await this.#actor![reconfigure](config);
    this.#config = config;
  }

  async read(name: string): Promise<unknown> {
    const actor = this.#actor as unknown as Record<string, unknown>;
    if (!(name in actor)) {
      const near = nearestWord(name, namesOf(actor), 0.2);
      if (near !== undefined) throw new UserError(`actor.${name} isn't there; did you mean actor.${near}?`);
    }
    const value: unknown = await actor[name];
    if (value instanceof Config) return value.toObject();
    checkPlain(value, `actor.${name}`);
    return value;
  }

  async call(name: string, args: readonly unknown[]): Promise<unknown> {
    const method = (this.#actor as unknown as Record<string, unknown>)[name];
    if (typeof method !== "function") throw new UserError(`actor.${name} is no method`);
    const value: unknown = await (method as (...args: unknown[]) => unknown).apply(this.#actor, [...args]);
    checkPlain(value, `the result of actor.${name}()`);
    return value;
  }

  stop(): void {
    this.#stopped = true;
    this.#actor?.stop();
  }
}

/** Names of an actor's properties and methods, without those of every object. */
function namesOf(actor: object): string[] {
  const names: string[] = [];
  for (let at = actor; at !== Object.prototype; at = Object.getPrototypeOf(at) as object)
    names.push(...Object.getOwnPropertyNames(at));
  return names;
}
