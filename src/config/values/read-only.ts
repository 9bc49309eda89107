// Makes a configuration read-only, with errors that say how another one is made: what is assigned would otherwise be lost in
// sloppy code, and be called a "read only property" in strict code.
import { inspect } from "node:util";

import { pathText, type Path } from "../schema/keys.ts";
import { isPlainObject } from "./tree.ts";

/** Makes an object and the plain data in it read-only, in place. */
export function makeReadOnly<T extends object>(value: T, path: Path = []): T {
  if (Object.isFrozen(value)) return value;
  for (const [key, item] of Object.entries(value)) {
    const at = [...path, Array.isArray(value) ? Number(key) : key];
    if (typeof item === "object" && item !== null) makeReadOnly(item as object, at);
    if (Array.isArray(value)) continue;
    const set = (next: unknown): never => {
      throw new TypeError(refusal(at, next));
    };
    Object.defineProperty(value, key, { get: () => item as unknown, set, enumerable: true });
  }
  // Shown as the values that it has, not as their getters.
  if (isPlainObject(value))
    Object.defineProperty(value, inspect.custom, { value: () => ({ ...value }), enumerable: false });
  return Object.freeze(value);
}

function refusal(path: Path, next: unknown): string {
  const key = pathText(path);
  const isShort = ["string", "number", "boolean"].includes(typeof next) || next === null;
  const way =
    isShort && path.length > 1
      ? `config.with(["${key}=${String(next)}"])`
      : `config.with({ ${path[0]}: { … } })`;
  return `${key}: a configuration doesn't change; make another one: const next = ${way}`;
}
