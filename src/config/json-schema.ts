// The JSON Schema of the configuration, which gives editors completion, documentation and checks in YAML files.
// Wider than the zod schema in one way: any value may be an interpolation, and a section may be empty.
import type { z } from "zod";

import { jsonOf } from "./describe.ts";
import { metaOf } from "./key.ts";
import { elementOf, shapeOf } from "./keys.ts";
import { schema } from "./schema.ts";

export type JsonSchema = { [key: string]: unknown };

const interpolation = { type: "string", pattern: "\\$\\{.+\\}" };

/** The JSON Schema of a configuration file. */
export function jsonSchema(): JsonSchema {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "torchforge configuration",
    ...objectSchema(schema),
    type: "object",
  };
}

function objectSchema(type: z.ZodType): JsonSchema {
  const shape = shapeOf(type) ?? {};
  const properties: JsonSchema = {};
  const required: string[] = [];
  for (const [name, child] of Object.entries(shape)) {
    const built = keySchema(child);
    properties[name] = built;
    const isRequired = shapeOf(child) === undefined ? !("default" in built) : built["required"] !== undefined;
    if (isRequired) required.push(name);
  }
  return {
    type: ["object", "null"],
    properties,
    ...(required.length > 0 && { required }),
    additionalProperties: false,
  };
}

function keySchema(type: z.ZodType): JsonSchema {
  const meta = metaOf(type);
  const parts = [meta.description];
  if (meta.unit !== undefined) parts.push(`Unit: ${meta.unit}.`);
  if (meta.defaultNote !== undefined) parts.push(`Default: ${meta.defaultNote}.`);
  if (meta.advice !== undefined) parts.push(meta.advice);
  const description = parts.join("\n\n");
  if (shapeOf(type) !== undefined) return { description, ...objectSchema(type) };

  const element = elementOf(type);
  const own: JsonSchema =
    element !== undefined && shapeOf(element) !== undefined
      ? { type: "array", items: { ...objectSchema(element), type: "object" } }
      : plainSchema(type);
  const isText = own["type"] === "string" && own["pattern"] === undefined && own["enum"] === undefined;
  const standard = type.safeParse(undefined);
  return {
    description,
    ...(isText ? own : { anyOf: [...((own["anyOf"] as JsonSchema[] | undefined) ?? [own]), interpolation] }),
    ...(standard.success && { default: standard.data }),
  };
}

/** Without what editors of draft 7 do not need: safe-integer bounds, propertyNames of text. */
function plainSchema(type: z.ZodType): JsonSchema {
  const strip = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(strip);
    if (typeof value !== "object" || value === null) return value;
    const kept = Object.entries(value).filter(
      ([name, item]) => name !== "propertyNames" && Math.abs(Number(item)) !== Number.MAX_SAFE_INTEGER,
    );
    return Object.fromEntries(kept.map(([name, item]) => [name, strip(item)]));
  };
  return strip(jsonOf(type)) as JsonSchema;
}
