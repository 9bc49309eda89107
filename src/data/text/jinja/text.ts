// Values as text: str(), repr() and json.dumps(), character for character.
import { pythonFloat } from "../../values.ts";
import { spend, spendText } from "./budget.ts";
import { RenderError, UnsupportedError } from "./errors.ts";
import {
  Callable,
  Dict,
  DictView,
  isList,
  Markup,
  Namespace,
  Range,
  sorted,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** str(value): what `{{ value }}` prints. */
export function str(value: Value): string {
  if (typeof value === "string") return value;
  if (value instanceof Undefined) return "";
  if (value instanceof Markup) return value.text;
  return repr(value);
}

/** repr(value). */
export function repr(value: Value): string {
  spend();
  if (value === null) return "None";
  switch (typeof value) {
    case "boolean":
      return value ? "True" : "False";
    case "bigint":
      return value.toString();
    case "number":
      return pythonFloat(value);
    case "string":
      return stringRepr(value);
    default:
  }
  if (isList(value)) return joined("[", value.map(repr), "]");
  if (value instanceof Tuple)
    return value.items.length === 1 ? `(${repr(value.items[0]!)},)` : joined("(", value.items.map(repr), ")");
  if (value instanceof Dict)
    return joined(
      "{",
      value.entries().map(([key, entry]) => `${repr(key)}: ${repr(entry)}`),
      "}",
    );
  if (value instanceof DictView) return joined(`${value.type}([`, value.items.map(repr), "])");
  if (value instanceof Range)
    return `range(${value.start}, ${value.stop}${value.step === 1 ? "" : `, ${value.step}`})`;
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Namespace) return `<Namespace ${repr(new Dict(value.attributes))}>`;
  if (value instanceof Callable && value.type === "Macro") return `<Macro ${stringRepr(value.name)}>`;
  // Python prints where in memory it lies.
  throw new UnsupportedError(`printing a value of type ${typeName(value)}`);
}

function joined(open: string, parts: readonly string[], close: string): string {
  spendText(parts.reduce((sum, part) => sum + part.length + 2, 2));
  return `${open}${parts.join(", ")}${close}`;
}

const shortEscapes: Readonly<Record<string, string>> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\\": "\\\\",
};

function stringRepr(text: string): string {
  spendText(text.length);
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  // What str.isprintable refuses is written as an escape.
  const escaped = text.replace(/[\\'"\p{C}\p{Z}]/gu, (c) => {
    if (c === " " || (c !== quote && /['"]/.test(c))) return c;
    if (c === quote) return `\\${c}`;
    if (c in shortEscapes) return shortEscapes[c]!;
    const code = c.codePointAt(0)!;
    const hex = code.toString(16);
    if (code < 0x100) return `\\x${hex.padStart(2, "0")}`;
    return code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
  });
  return quote + escaped + quote;
}

export interface JsonOptions {
  readonly ensureAscii: boolean;
  /** What a level is indented by; all on one line where it is undefined. */
  readonly indent: string | undefined;
  readonly separators: readonly [item: string, key: string];
  readonly sortKeys: boolean;
}

/** json.dumps(value). */
export function jsonDumps(value: Value, options: JsonOptions, level = 0): string {
  spend();
  if (value === null) return "null";
  if (typeof value === "boolean") return value ? "true" : "false";
  if (typeof value === "string") return jsonString(value, options.ensureAscii);
  if (typeof value === "number") return jsonFloat(value);
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Markup) return jsonString(value.text, options.ensureAscii);
  const inner = (entry: Value): string => jsonDumps(entry, options, level + 1);
  if (isList(value)) return jsonLines("[", value.map(inner), "]", options, level);
  if (value instanceof Tuple) return jsonLines("[", value.items.map(inner), "]", options, level);
  if (value instanceof Dict) {
    let entries = value.entries();
    if (options.sortKeys)
      entries = sorted(
        entries.map((entry) => new Tuple(entry)),
        (entry) => (entry as Tuple).items[0]!,
      ).map((entry) => (entry as Tuple).items as [Value, Value]);
    const parts = entries.map(
      ([key, entry]) => jsonString(jsonKey(key), options.ensureAscii) + options.separators[1] + inner(entry),
    );
    return jsonLines("{", parts, "}", options, level);
  }
  throw new RenderError(`Object of type ${typeName(value)} is not JSON serializable`);
}

function jsonLines(
  open: string,
  parts: readonly string[],
  close: string,
  { indent, separators }: JsonOptions,
  level: number,
): string {
  if (parts.length === 0) return open + close;
  spendText(parts.reduce((sum, part) => sum + part.length + 2 + (indent?.length ?? 0) * level, 2));
  if (indent === undefined) return open + parts.join(separators[0]) + close;
  const newline = `\n${indent.repeat(level + 1)}`;
  return `${open}${newline}${parts.join(separators[0] + newline)}\n${indent.repeat(level)}${close}`;
}

function jsonFloat(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Infinity" : "-Infinity";
  return pythonFloat(value);
}

function jsonKey(key: Value): string {
  if (typeof key === "string") return key;
  if (key === null) return "null";
  if (typeof key === "boolean") return key ? "true" : "false";
  if (typeof key === "bigint") return key.toString();
  if (typeof key === "number") return jsonFloat(key);
  throw new RenderError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

function jsonString(text: string, ensureAscii: boolean): string {
  spendText(text.length);
  // JSON.stringify escapes what json.dumps does, and lone surrogates, which Python lets through.
  const written = JSON.stringify(text).replace(
    /\\u(d[89a-f][\da-f]{2})/g,
    (whole, hex: string, at: number, all: string) =>
      isEscaped(all, at) ? whole : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  if (!ensureAscii) return written;
  return written.replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Whether the backslash at `at` is itself escaped. */
function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text[at - 1 - backslashes] === "\\") backslashes++;
  return backslashes % 2 === 1;
}
