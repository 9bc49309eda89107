// What `spawn()` returns: a proxy of the actor in another process. Properties are read and methods called with `await`, on
// rank 0 by default. Only plain data crosses.
import type { BaseForgeActor } from "../base-forge-actor.ts";
import type { ActorEvent } from "../messages/events.ts";

/** The phases belong to SpawnActor. */
type Lifecycle = "setup" | "run" | "cleanup" | "stop";

/** An actor's public properties and methods, each as a promise. */
export type Remote<A> = {
  readonly [K in Exclude<keyof A, Lifecycle>]: A[K] extends (...args: infer P) => infer R
    ? (...args: P) => Promise<Awaited<R>>
    : Promise<Awaited<A[K]>>;
};

/** Like Remote, on every rank: lists indexed by rank. */
export type RemoteAll<A> = {
  readonly [K in Exclude<keyof A, Lifecycle>]: A[K] extends (...args: infer P) => infer R
    ? (...args: P) => Promise<Awaited<R>[]>
    : Promise<Awaited<A[K]>[]>;
};

export type ActorHandle<A extends BaseForgeActor = BaseForgeActor> = Remote<A> & {
  /** All ranks: `await actor.all.device` is a list. */
  readonly all: RemoteAll<A>;
  /** One rank: `await actor.at(1).device`. */
  at(rank: number): Remote<A>;
  /** Metrics, notes, logs and progress from now on; ends when `run` ends or the actor is cleaned up. */
  events(): AsyncIterableIterator<ActorEvent>;
};

/** Names that the handle itself uses, so that an actor can't. */
export const handleNames = ["all", "at", "events"] as const;
const lifecycle: readonly string[] = ["setup", "run", "cleanup", "stop"];

/** How a handle calls the actors of the ranks. */
export interface ActorCalls {
  readonly actorClass: { readonly name: string; readonly prototype: object };
  ranks(): readonly number[];
  read(rank: number, name: string): Promise<unknown>;
  /** Resolves to each rank's result. */
  call(ranks: readonly number[], name: string, args: readonly unknown[]): Promise<unknown[]>;
  events(): AsyncIterableIterator<ActorEvent>;
  describe(): string;
}

export function makeHandle<A extends BaseForgeActor>(link: ActorCalls): ActorHandle<A> {
  const { prototype } = link.actorClass;
  const onRank = (rank: number, ownProperties: Readonly<Record<string, unknown>>, title: string): unknown =>
    makeProxy(
      prototype,
      ownProperties,
      (name) => link.read(rank, name),
      async (name, args) => (await link.call([rank], name, args))[0],
      () => `${link.describe()}${title}`,
    );
  const all = makeProxy(
    prototype,
    {},
    async (name) => await Promise.all(link.ranks().map((rank) => link.read(rank, name))),
    async (name, args) => await link.call(link.ranks(), name, args),
    () => `${link.describe()}, all ranks`,
  );
  const at = (rank: number): unknown => onRank(rank, {}, `, rank ${rank}`);
  return onRank(0, { all, at, events: () => link.events() }, "") as ActorHandle<A>;
}

/** An object whose members are remote: methods if the class has a method of that name, else promises of the property. */
function makeProxy(
  prototype: object,
  ownProperties: Readonly<Record<string, unknown>>,
  read: (name: string) => Promise<unknown>,
  call: (name: string, args: readonly unknown[]) => Promise<unknown>,
  describe: () => string,
): unknown {
  const target = {
    [Symbol.for("nodejs.util.inspect.custom")]: describe,
    [Symbol.for("Jupyter.display")]: () => ({ "text/plain": describe() }),
    toString: describe,
  };
  return new Proxy(target, {
    get(target, name) {
      if (typeof name === "symbol" || name === "toString") return Reflect.get(target, name) as unknown;
      if (Object.hasOwn(ownProperties, name)) return ownProperties[name];
      // A handle must not look like a promise, or `await spawner.spawn()` would call its `then`.
      if (name === "then" || name === "toJSON" || name === "constructor" || lifecycle.includes(name))
        return undefined;
      return isMethod(prototype, name) ? (...args: unknown[]) => call(name, args) : read(name);
    },
    has: (_, name) => typeof name === "string" && (Object.hasOwn(ownProperties, name) || name in prototype),
  });
}

function isMethod(prototype: object, name: string): boolean {
  for (
    let object: object | null = prototype;
    object !== null;
    object = Object.getPrototypeOf(object) as object | null
  ) {
    const found = Object.getOwnPropertyDescriptor(object, name);
    if (found) return typeof found.value === "function";
  }
  return false;
}
