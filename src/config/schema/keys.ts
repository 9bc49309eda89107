// The keys of the schema as a list.
// A path is an array of segments; its text form is dotted, with list indexes in brackets: training.datasets[0].path.
import { z } from "zod";

import { metaOf, type KeyMeta } from "./key.ts";
import { schema } from "./schema.ts";

export type Path = readonly (string | number)[];

/** One key (a leaf of the schema), or one section. */
export interface Key {
  /** Dotted name; the entries of a list are written as name[]: training.datasets[].path. */
  name: string;
  path: readonly string[];
  schema: z.ZodType;
  meta: KeyMeta;
  /** A section has keys of its own and no default. */
  isSection: boolean;
  /** The schema's default; undefined for a section and for a key that must be given. */
  default: unknown;
  required: boolean;
}

export function pathText(path: Path): string {
  let text = "";
  for (const segment of path) {
    if (typeof segment === "number") text += `[${segment}]`;
    else text += text === "" ? segment : `.${segment}`;
  }
  return text;
}

/** The reverse of pathText; also reads `datasets.0.path`. */
export function parsePath(text: string): (string | number)[] {
  return text
    .replaceAll(/\[(\d+)\]/g, ".$1")
    .split(".")
    .map((segment) => (/^\d+$/.test(segment) ? Number(segment) : segment));
}

function unwrap(type: z.ZodType): z.ZodType {
  return type instanceof z.ZodDefault ? (type.unwrap() as z.ZodType) : type;
}

/** The object schema of a section or group; undefined for a leaf. */
export function shapeOf(type: z.ZodType): Record<string, z.ZodType> | undefined {
  const inner = unwrap(type);
  return inner instanceof z.ZodObject ? inner.shape : undefined;
}

/** The type of a list's entries; undefined for what is no list. */
export function elementOf(type: z.ZodType): z.ZodType | undefined {
  const inner = unwrap(type);
  return inner instanceof z.ZodArray ? (inner.element as z.ZodType) : undefined;
}

function* walk(type: z.ZodType, path: readonly string[], name: string): Generator<Key> {
  const shape = shapeOf(type);
  if (path.length > 0) {
    const hasDefault = type instanceof z.ZodDefault;
    yield {
      name,
      path,
      schema: type,
      meta: metaOf(type),
      isSection: shape !== undefined,
      default: hasDefault ? type.parse(undefined) : undefined,
      required: shape === undefined && !hasDefault,
    };
  }
  if (shape !== undefined) {
    for (const [key, child] of Object.entries(shape)) {
      yield* walk(child, [...path, key], name === "" ? key : `${name}.${key}`);
    }
    return;
  }
  const element = elementOf(type);
  if (element !== undefined) {
    for (const [key, child] of Object.entries(shapeOf(element) ?? {})) {
      yield* walk(child, [...path, "[]", key], `${name}[].${key}`);
    }
  }
}

let all: readonly Key[] | undefined;
let byName: ReadonlyMap<string, Key> | undefined;

/** Every section and key, in the order of the schema. */
export function allKeys(): readonly Key[] {
  all ??= [...walk(schema, [], "")];
  return all;
}

/** A path with `[]` for every list index. */
export function genericPath(path: Path): string[] {
  return path.map((segment) => (typeof segment === "number" ? "[]" : segment));
}

/** The key or section of that name; list indexes may be given (training.datasets[0].path). */
export function findKey(name: string): Key | undefined {
  const wanted = genericPath(parsePath(name.replaceAll("[]", "[0]"))).join(".");
  byName ??= new Map(allKeys().map((key) => [key.path.join("."), key]));
  return byName.get(wanted);
}

/** The innermost key around a path: for an entry of a list or a mapping, the key of the list or mapping. */
export function keyAround(path: Path): Key | undefined {
  for (let length = path.length; length > 0; length--) {
    const key = findKey(pathText(path.slice(0, length)));
    if (key !== undefined) return key;
  }
  return undefined;
}

/** Whether a path is a key or section, an entry of a list, or an entry of a mapping. */
export function isKnown(path: Path): boolean {
  if (path.length === 0) return false;
  const around = keyAround(path);
  if (around === undefined) return false;
  const rest = path.slice(around.path.length);
  if (rest.length === 0) return true;
  const type = unwrap(around.schema);
  return (
    rest.length === 1 &&
    (typeof rest[0] === "number" ? type instanceof z.ZodArray : type instanceof z.ZodRecord)
  );
}

/** Names of all keys that a value can be given to, outside lists. */
export function allKeyNames(): string[] {
  return allKeys()
    .filter(({ isSection, path }) => !isSection && !path.includes("[]"))
    .map(({ name }) => name);
}
