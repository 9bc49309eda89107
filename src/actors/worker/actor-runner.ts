// Holds one actor in this process: creates it, runs its phases, answers property reads and method calls. It is the target of
// an ActorHandle, whether messages come over IPC (worker-side.ts) or from the same process (launched-mesh.ts).
import { Config, nearestWord } from "../../config/index.ts";
import { UserError } from "../../util/index.ts";
import {
  assertActorClass,
  type ActorClass,
  type BaseForgeActor,
  reconfigure,
  clearStop,
} from "../base-forge-actor.ts";
import type { ActorMessage } from "../messages/events.ts";
import { checkPlain } from "../messages/plain.ts";
import type { LoadRequest } from "../messages/protocol.ts";

export interface RankInfo {
  readonly rank: number;
  readonly localRank: number;
  readonly worldSize: number;
}

/** Set while a worker imports an actor's file, which must not itself spawn actors. */
const loadingSymbol = Symbol.for("torchforge.loading-actor");
const flags = globalThis as unknown as Record<symbol, string | undefined>;

/** The file that this worker process is importing; undefined in any other process. */
export const fileBeingLoaded = (): string | undefined => flags[loadingSymbol];

export class ActorRunner {
  readonly #rank: RankInfo;
  readonly #emit: (message: ActorMessage) => void;
  #class: ActorClass | undefined;
  #config: Config | undefined;
  #actor: BaseForgeActor | undefined;
  #stopped = false;

  constructor(rank: RankInfo, emit: (message: ActorMessage) => void) {
    this.#rank = rank;
    this.#emit = emit;
  }

  get config(): Config {
    return this.#config!;
  }

  async load({ classLocation, config }: LoadRequest): Promise<void> {
    this.#config = Config.fromTransfer(config);
    flags[loadingSymbol] = classLocation.url;
    let module: Record<string, unknown>;
    try {
      module = (await import(classLocation.url)) as Record<string, unknown>;
    } finally {
      flags[loadingSymbol] = undefined;
    }
    const found = module[classLocation.name];
    if (found === undefined) {
      throw new UserError(
        `${classLocation.name}: ${classLocation.url} exports no ${classLocation.name}, so a worker process can't get it; write\n  export class ${classLocation.name} extends …`,
      );
    }
    assertActorClass(found, "SpawnActor");
    this.#class = found;
  }

  /** Uses a class that this process has already imported. */
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
    if (name === "run") this.#actor?.[clearStop]();
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
      const near = nearestWord(name, memberNames(actor), 0.2);
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

/** Names of an actor's properties and methods, without those of Object.prototype. */
function memberNames(actor: object): string[] {
  const names: string[] = [];
  for (let object = actor; object !== Object.prototype; object = Object.getPrototypeOf(object) as object)
    names.push(...Object.getOwnPropertyNames(object));
  return names;
}
