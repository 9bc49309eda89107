// What there is to say about one key or section, for `forge config explain`, the docs and the notebook.
import { UserError } from "../../util/index.ts";
import { checks } from "../rules/checks.ts";
import { describeType } from "../schema/describe.ts";
import { allKeys, findKey, parsePath, type Key } from "../schema/keys.ts";
import { namesUnder, unknownKeyMessage } from "../rules/suggest.ts";
import { unsupported } from "../rules/support.ts";

export interface Explanation {
  /** The key's full name. */
  key: string;
  doc: string;
  /** Type and allowed values in words. */
  type: string;
  /** The default in words; undefined for a section. */
  default: string | undefined;
  unit: string | undefined;
  advice: string | undefined;
  /** Rules that this key obeys together with others. */
  rules: string[];
  /** What to use in place of values that are not supported yet. */
  unsupported: string | undefined;
  /** For a section: the names of its keys, in full. */
  keys: string[];
}

/**
 * Everything about a key or section, e.g. "training.max_norm" or "training".
 * @throws UserError (exit code 2) with the nearest key, where there is none of that name
 */
export function explain(name: string): Explanation {
  const key = findKey(name);
  if (key === undefined) throw new UserError(unknownKeyMessage(parsePath(name)), { exitCode: 2 });
  return {
    key: key.name,
    doc: key.meta.description,
    type: describeType(key.schema),
    default: key.isSection ? undefined : defaultText(key),
    unit: key.meta.unit,
    advice: key.meta.advice,
    rules: checks.filter(({ keys }) => keys.includes(key.name)).map(({ rule }) => rule),
    unsupported: unsupported.find((entry) => entry.key === key.name)?.instead,
    keys: childrenOf(key).map((child) => child.name),
  };
}

function childrenOf(key: Key): Key[] {
  const path = parsePath(key.name.replaceAll("[]", "[0]"));
  const own = key.isSection ? path : [...path, 0];
  const names = new Set(namesUnder(own));
  return allKeys().filter(
    (child) =>
      child.path.length === own.length + 1 &&
      names.has(child.path.at(-1)!) &&
      child.path.slice(0, key.path.length).join(".") === key.path.join("."),
  );
}

/** A key's default in words. */
export function defaultText(key: Key): string {
  if (key.required) return "none, must be given";
  return key.meta.defaultNote ?? valueText(key.default);
}

/** A value as it is written in YAML. */
export function valueText(value: unknown): string {
  if (typeof value === "string") return value === "" ? '""' : value;
  if (typeof value === "number" && Math.abs(value) < 1e-3 && value !== 0) return value.toExponential();
  return JSON.stringify(value);
}

/** An explanation as lines for the terminal. */
export function explanationText(it: Explanation): string {
  const lines = [it.key, "", `  ${it.doc}`, ""];
  const row = (label: string, text: string | undefined) => {
    if (text !== undefined && text !== "") lines.push(`  ${label.padEnd(9)}${text}`);
  };
  if (it.default !== undefined) {
    row("type", it.type);
    row("default", it.default);
    row("unit", it.unit);
  }
  row("advice", it.advice);
  for (const rule of it.rules) row("rule", rule);
  if (it.unsupported !== undefined) row("for now", `only the default is supported; ${it.unsupported}`);
  if (it.keys.length > 0) {
    const width = Math.max(...it.keys.map((name) => name.length));
    lines.push(...(it.default === undefined ? [] : [""]), "  keys");
    for (const name of it.keys) {
      const key = findKey(name)!;
      const what = key.isSection ? key.meta.description : `default ${defaultText(key)}`;
      lines.push(`    ${name.padEnd(width)}  ${what}`);
    }
  }
  return lines.join("\n");
}
