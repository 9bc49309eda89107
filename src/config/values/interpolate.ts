// `${section.key}` and `${oc.env:VAR,default}` in text values, as OmegaConf has them; `\${` is a plain `${`.
// A value that is one interpolation keeps the type of what it refers to; inside text it is inserted as text.
// The environment holds text only: it is read as a YAML value (STEPS=100 is a number) unless the key wants text.
// Not here: OmegaConf's other resolvers and relative keys (`${.key}`), which are refused by name.
import type { Path } from "../schema/keys.ts";
import { pathText } from "../schema/keys.ts";
import type { Problem } from "../rules/problems.ts";
import { parseValue } from "./yaml.ts";

/** Thrown inside a value; becomes a Problem at the key. */
class InterpolationError extends Error {}

/** A value of the environment: what it means depends on the key that it lands in. */
class EnvText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

interface Context {
  /** The value at a dotted key, not yet interpolated; undefined where there is no such key. */
  lookup(name: string): unknown;
  env: Readonly<Record<string, string | undefined>>;
  /** Keys that are being resolved, to find cycles. */
  open: readonly string[];
  /** Told of each variable of the environment that is read. */
  onEnv(name: string): void;
}

/** A text that has something of the environment in it, and where it was given. */
export interface EnvironmentText {
  readonly path: Path;
  /** As it was given, not resolved. */
  readonly text: string;
  /** The variables that it reads, directly or through other keys. */
  readonly variables: readonly string[];
}

/**
 * A copy of `raw` with every interpolation replaced. `lookup` finds the value of a dotted key, defaults included.
 * Values that can't be resolved are left out of the copy, and reported in `problems`. What reads the environment is added to
 * `fromEnvironment`: it may be secret, so whoever writes the configuration down writes the text in place of the value.
 */
export function interpolate(
  raw: unknown,
  lookup: (name: string) => unknown,
  env: Readonly<Record<string, string | undefined>>,
  problems: Problem[],
  fromEnvironment: EnvironmentText[] = [],
): unknown {
  const failed = Symbol("failed");
  const visit = (value: unknown, path: Path): unknown => {
    if (typeof value === "string") {
      const variables: string[] = [];
      const onEnv = (name: string): unknown => variables.push(name);
      try {
        const resolved = resolveText(value, { lookup, env, open: [pathText(path)], onEnv });
        if (variables.length > 0) fromEnvironment.push({ path, text: value, variables });
        return resolved instanceof EnvText ? parseValue(resolved.text, path) : resolved;
      } catch (error) {
        if (!(error instanceof InterpolationError)) throw error;
        problems.push({ path, message: `${pathText(path)}: ${error.message}` });
        return failed;
      }
    }
    if (Array.isArray(value)) {
      return value.map((item, i) => visit(item, [...path, i])).filter((item) => item !== failed);
    }
    if (typeof value === "object" && value !== null) {
      const entries = Object.entries(value).map(([key, item]) => [key, visit(item, [...path, key])] as const);
      return Object.fromEntries(entries.filter(([, item]) => item !== failed));
    }
    return value;
  };
  return visit(raw, []);
}

function resolveText(text: string, context: Context): unknown {
  if (!text.includes("${")) return text;
  const parts: unknown[] = [];
  let plain = "";
  let at = 0;
  while (at < text.length) {
    if (text.startsWith("\\${", at)) {
      plain += "${";
      at += 3;
    } else if (text.startsWith("${", at)) {
      const end = closing(text, at + 2);
      if (plain !== "") parts.push(plain);
      plain = "";
      parts.push(resolveOne(text.slice(at + 2, end), context));
      at = end + 1;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  if (plain !== "") parts.push(plain);
  if (parts.length === 1) return parts[0];
  return parts.map((part) => asText(part, text)).join("");
}

function asText(part: unknown, whole: string): string {
  if (part instanceof EnvText) return part.text;
  if (typeof part === "object" && part !== null) {
    throw new InterpolationError(`${JSON.stringify(whole)} inserts a list or section into text`);
  }
  return String(part);
}

/** Index of the `}` that closes an interpolation whose content starts at `from`. */
function closing(text: string, from: number): number {
  let depth = 1;
  for (let i = from; i < text.length; i++) {
    if (text.startsWith("${", i)) {
      depth += 1;
      i += 1;
    } else if (text[i] === "}" && --depth === 0) return i;
  }
  throw new InterpolationError(`${JSON.stringify(text)} has a \${ that is never closed by }`);
}

function resolveOne(content: string, context: Context): unknown {
  const resolver = /^\s*([\w.]+)\s*:/.exec(content);
  if (resolver !== null) {
    if (resolver[1] !== "oc.env") {
      throw new InterpolationError(
        `\${${content}} uses the resolver ${resolver[1]}; only \${section.key} and \${oc.env:VAR,default} are known`,
      );
    }
    return resolveEnv(content.slice(resolver[0].length), context);
  }
  const name = String(resolveText(content, context)).trim();
  if (context.open.includes(name)) {
    throw new InterpolationError(`\${${name}} refers to itself: ${[...context.open, name].join(" -> ")}`);
  }
  const value = context.lookup(name);
  if (value === undefined) {
    throw new InterpolationError(
      `\${${content}} refers to ${name}, which is not a key; write the full name, e.g. \${training.seq_len}`,
    );
  }
  return typeof value === "string"
    ? resolveText(value, { ...context, open: [...context.open, name] })
    : structuredClone(value);
}

function resolveEnv(content: string, context: Context): unknown {
  const comma = content.indexOf(",");
  const name = (comma < 0 ? content : content.slice(0, comma)).trim();
  context.onEnv(name);
  const value = context.env[name];
  if (value !== undefined) return new EnvText(value);
  if (comma < 0) {
    throw new InterpolationError(
      `the environment variable ${name} is not set; set it, or give a default: \${oc.env:${name},VALUE}`,
    );
  }
  const fallback = resolveText(content.slice(comma + 1).trim(), context);
  return typeof fallback === "string" ? new EnvText(fallback) : fallback;
}
