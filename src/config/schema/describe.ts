// A type in words ("a whole number of at least 1, or null"), for messages, explain and the docs table.
import { z } from "zod";

/** A JSON Schema, as zod makes it. */
export type Json = z.core.JSONSchema.BaseSchema;

/** The allowed words of a type, where it has some. */
export function wordsOf(type: z.ZodType): string[] {
  return collectWords(jsonOf(type));
}

function collectWords(json: Json): string[] {
  const own = [...(json.enum ?? []), ...(json.const === undefined ? [] : [json.const])];
  const nested = (json.anyOf ?? []).flatMap((option) => collectWords(option));
  const items = json.items === undefined ? [] : collectWords(json.items as Json);
  return [...own.filter((value) => typeof value === "string"), ...nested, ...items];
}

/** A type in words. */
export function describeType(type: z.ZodType): string {
  return describe(jsonOf(type));
}

/** The JSON Schema of a key's type, without its documentation. */
export function jsonOf(type: z.ZodType): Json {
  const bare = type instanceof z.ZodDefault ? (type.unwrap() as z.ZodType) : type;
  // The documentation of a key without default sits on the type itself.
  const {
    $schema: _s,
    description: _d,
    unit: _u,
    advice: _a,
    defaultNote: _n,
    ...json
  } = z.toJSONSchema(bare, { io: "input" }) as Json;
  return json;
}

function describe(json: Json): string {
  if (json.anyOf !== undefined) {
    return json.anyOf.map((option) => describe(option)).join(", or ");
  }
  if (json.const !== undefined) return String(json.const);
  if (json.enum !== undefined)
    return json.enum.length === 1 ? String(json.enum[0]) : `one of ${json.enum.join(", ")}`;
  switch (json.type) {
    case "integer":
      return `a whole number${range(json)}`;
    case "number":
      return `a number${range(json)}`;
    case "boolean":
      return "true or false";
    case "string":
      return json.pattern === undefined ? "text" : "text of the form described";
    case "null":
      return "null";
    case "array": {
      const items = json.items as Json | undefined;
      return `a list${items === undefined ? "" : items.type === "object" ? " of data sets, each with its keys" : ` of: ${describe(items)}`}`;
    }
    case "object":
      return json.properties === undefined ? "a mapping of text to text" : "a section with keys";
    default:
      return "a value";
  }
}

function range(json: Json): string {
  const parts: string[] = [];
  if (json.minimum !== undefined && json.minimum > Number.MIN_SAFE_INTEGER)
    parts.push(`of at least ${json.minimum}`);
  if (json.exclusiveMinimum !== undefined) parts.push(`above ${json.exclusiveMinimum}`);
  if (json.maximum !== undefined && json.maximum < Number.MAX_SAFE_INTEGER)
    parts.push(`of at most ${json.maximum}`);
  if (json.exclusiveMaximum !== undefined) parts.push(`below ${json.exclusiveMaximum}`);
  return parts.length === 0 ? "" : ` ${parts.join(" and ")}`;
}

/** A found value as the user wrote it, shortened. */
export function show(value: unknown): string {
  if (value === undefined) return "nothing";
  const text =
    typeof value === "bigint"
      ? `${value}n`
      : typeof value === "number"
        ? String(value) // NaN too
        : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
