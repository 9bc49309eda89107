// What `spawn()` gives: the actor as seen from another process. Properties are read and methods called with `await`, on
// rank 0 unless one says otherwise. Only plain data crosses.
import type { BaseForgeActor } from "../base-forge-actor.ts";
import type { ActorEvent } from "../messages/events.ts";

/** The phases belong to SpawnActor. */
type Lifecycle = "setup" | "run" | "cleanup" | "stop";

/** An actor's public properties and methods, each giving a promise. */
export type Remote<A> = {
  readonly [K in Exclude<keyof A, Lifecycle>]: A[K] extends (...args: infer P) => infer R
    ? (...args: P) => Promise<Awaited<R>>
    : Promise<Awaited<A[K]>>;
};

/** As Remote, on every rank: lists, by rank. */
export type RemoteAll<A> = {
  readonly [K in Exclude<keyof A, Lifecycle>]: A[K] extends (...args: infer P) => infer R
    ? (...args: P) => Promise<Awaited<R>[]>
    : Promise<Awaited<A[K]>[]>;
};

export type ActorHandle<A extends BaseForgeActor = BaseForgeActor> = Remote<A> & {
  /** Every rank at once: `await actor.all.device` is a list. */
  readonly all: RemoteAll<A>;
  /** One rank: `await actor.at(1).device`. */
  at(rank: number): Remote<A>;
  /** Metrics, notes, logs, progress from now on; ends when `run` ends or the actor is cleaned up. */
  events(): AsyncIterableIterator<ActorEvent>;
};

/** Names that a handle keeps for itself. */
export const handleNames = ["all", "at", "events"] as const;
const lifecycle: readonly string[] = ["setup", "run", "cleanup", "stop"];

/** How a handle reaches the ranks. */
export interface HandleLink {
  readonly actorClass: { readonly name: string; readonly prototype: object };
  ranks(): readonly number[];
  read(rank: number, name: string): Promise<unknown>;
  /** Gives what each of the ranks gives. */
  call(ranks: readonly number[], name: string, args: readonly unknown[]): Promise<unknown[]>;
  events(): AsyncIterableIterator<ActorEvent>;
  describe(): string;
}

export function makeHandle<A extends BaseForgeActor>(link: HandleLink): ActorHandle<A> {
  const { prototype } = link.actorClass;
  const onRank = (rank: number, own: Readonly<Record<string, unknown>>, title: string): unknown =>
    reach(
      prototype,
      own,
      (name) => link.read(rank, name),
      async (name, args) => (await link.call([rank], name, args))[0],
      () => `${link.describe()}${title}`,
    );
  const all = reach(
    prototype,
    {},
    async (name) => await Promise.all(link.ranks().map((rank) => link.read(rank, name))),
    async (name, args) => await link.call(link.ranks(), name, args),
    () => `${link.describe()}, all ranks`,
  );
  const at = (rank: number): unknown => onRank(rank, {}, `, rank ${rank}`);
  return onRank(0, { all, at, events: () => link.events() }, "") as ActorHandle<A>;
}

/** An object whose properties are promises: a method where the class has one, else what the actor's property holds. */
function reach(
  prototype: object,
  own: Readonly<Record<string, unknown>>,
  read: (name: string) => Promise<unknown>,
  call: (name: string, args: readonly unknown[]) => Promise<unknown>,
  describe: () => string,
): unknown {
  const shown = {
    [Symbol.for("nodejs.util.inspect.custom")]: describe,
    [Symbol.for("Jupyter.display")]: () => ({ "text/plain": describe() }),
    toString: describe,
  };
  return new Proxy(shown, {
    get(target, name) {
      if (typeof name === "symbol" || name === "toString") return Reflect.get(target, name) as unknown;
      if (Object.hasOwn(own, name)) return own[name];
      // A handle is no promise: `await spawner.spawn()` must give it as it is.
      if (name === "then" || name === "toJSON" || name === "constructor" || lifecycle.includes(name))
        return undefined;
      return isMethod(prototype, name) ? (...args: unknown[]) => call(name, args) : read(name);
    },
    has: (_, name) => typeof name === "string" && (Object.hasOwn(own, name) || name in prototype),
  });
}

function isMethod(prototype: object, name: string): boolean {
  for (let at: object | null = prototype; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    const found = Object.getOwnPropertyDescriptor(at, name);
    if (found) return typeof found.value === "function";
  }
  return false;
}
