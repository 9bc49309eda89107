// Plain nested data: reading, copying, merging. Nothing here knows the schema.
import { UserError } from "../../util/index.ts";
import { pathText, type Path } from "../schema/keys.ts";

/** Sections and lists within each other, at most. */
const deepest = 64;

export type PlainObject = Record<string, unknown>;

export function isPlainObject(value: unknown): value is PlainObject {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** The value at a path; undefined where there is none. Own properties only. */
export function valueAt(root: unknown, path: Path): unknown {
  let at = root;
  for (const segment of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, segment)) return undefined;
    at = (at as Record<string | number, unknown>)[segment];
  }
  return at;
}

/** Takes a value out of its section, or an entry out of its list. */
export function removeAt(root: unknown, path: Path): void {
  const parent = valueAt(root, path.slice(0, -1));
  const last = path.at(-1)!;
  if (Array.isArray(parent) && typeof last === "number") parent.splice(last, 1);
  else if (isPlainObject(parent)) delete parent[last];
}

/**
 * A deep copy of plain data; keys that are undefined are left out.
 * @throws UserError for what is no plain data (a function, a Map, an instance), with its key
 */
export function copyPlain(value: unknown, path: Path = []): unknown {
  if (path.length > deepest)
    throw new UserError(`${pathText(path.slice(0, 3))}: is nested too deeply, or contains itself`, {
      exitCode: 2,
    });
  if (Array.isArray(value)) return value.map((item: unknown, i) => copyPlain(item, [...path, i]));
  if (isPlainObject(value)) {
    const copy: PlainObject = {};
    for (const [key, item] of Object.entries(value)) {
      if (item === undefined) continue;
      // Not an assignment: a key called __proto__ must become a key.
      Object.defineProperty(copy, key, {
        value: copyPlain(item, [...path, key]),
        enumerable: true,
        writable: true,
        configurable: true,
      });
    }
    return copy;
  }
  const isPlain = value === null || ["string", "number", "boolean", "bigint"].includes(typeof value);
  if (isPlain) return value;
  const kind =
    value === undefined
      ? "nothing"
      : typeof value === "object"
        ? value.constructor.name
        : `a ${typeof value}`;
  if (typeof value === "function" && path.at(-1) === "message_transform")
    throw new UserError(
      `${pathText(path)}: a function can't be sent to the processes of a run. Put it into a file of its own, exported, and name that: "./rows.ts#${value.name || "toMessages"}"`,
      { exitCode: 2 },
    );
  throw new UserError(
    `${pathText(path)}: expected plain data (text, numbers, lists, objects), found ${kind}`,
    {
      exitCode: 2,
    },
  );
}

/** Sets the value at a path that is there. */
export function replaceAt(root: unknown, path: Path, value: unknown): void {
  if (valueAt(root, path) === undefined) return;
  const parent = valueAt(root, path.slice(0, -1)) as Record<string | number, unknown>;
  parent[path.at(-1)!] = value;
}

/** A deep copy in which every text is what `change` makes of it. */
export function mapTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((item: unknown) => mapTexts(item, change));
  if (!isPlainObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mapTexts(item, change)]));
}

/** A deep copy of `base` with `changes` merged in: objects key by key, everything else replaced. */
export function merge(base: PlainObject, changes: PlainObject): PlainObject {
  const merged = copyPlain(base) as PlainObject;
  for (const [key, value] of Object.entries(copyPlain(changes) as PlainObject)) {
    const before = Object.hasOwn(merged, key) ? merged[key] : undefined;
    merged[key] = isPlainObject(before) && isPlainObject(value) ? merge(before, value) : value;
  }
  return merged;
}

/** Freezes plain data through and through. */
export function freezeDeep<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const item of Object.values(value)) freezeDeep(item);
  return value;
}

/** The part of `value` at the given paths. */
export function pick(value: PlainObject, paths: readonly Path[]): PlainObject {
  const picked: PlainObject = {};
  for (const path of paths) {
    let at = picked;
    for (const segment of path.slice(0, -1)) at = (at[segment] ??= {}) as PlainObject;
    at[path.at(-1)!] = valueAt(value, path);
  }
  return picked;
}
