// How a key of the configuration is declared: its zod type, default and documentation in one place.
// Everything else (validation, types, CLI help, JSON Schema, docs table) is derived from these declarations.
import { z } from "zod";

/** What is written beside a key's type. */
export interface KeyInfo<T> {
  /** The default value: the SFT recipe's, or torchtitan's where the recipe has none. */
  default: T;
  /** One or two sentences: what the key does. */
  doc: string;
  /** The unit of the value, e.g. "tokens". */
  unit?: string;
  /** When to change it, and to what. */
  advice?: string;
  /** How the default is found where it depends on other keys (see dependent-defaults.ts). */
  defaultNote?: string;
}

/** The metadata that explain, docs and JSON Schema read back from a schema. */
export interface KeyMeta {
  description: string;
  unit?: string;
  advice?: string;
  defaultNote?: string;
}

/** A key with a default. */
export function key<T extends z.ZodType>(type: T, info: KeyInfo<z.output<T>>): z.ZodDefault<T> {
  const { default: value, doc, ...rest } = info;
  const withDefault = type.default(value as z.util.NoUndefined<z.output<T>>);
  return withDefault.meta({ ...rest, description: doc });
}

/** A key that must be given, because no default could be right. */
export function requiredKey<T extends z.ZodType>(type: T, info: Omit<KeyInfo<never>, "default">): T {
  const { doc, ...rest } = info;
  return type.meta({ ...rest, description: doc });
}

/** A section (or a group inside a section): an object without unknown keys. */
export function section<Shape extends z.ZodRawShape>(doc: string, shape: Shape) {
  return z.strictObject(shape).meta({ description: doc });
}

/** The documentation of a key or section. */
export function metaOf(schema: z.ZodType): KeyMeta {
  return { description: "", ...(schema.meta() as Partial<KeyMeta> | undefined) };
}
