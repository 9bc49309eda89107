// Dot-list overrides, as on the command line: `training.steps=100` sets, `~training.seed` takes back to the default.
// Values are YAML (1e-5 is a number, [a, b] a list, null or nothing null).
import { findKey, isKnown, pathText, parsePath, type Path } from "../schema/keys.ts";
import type { Problem } from "../rules/problems.ts";
import { unknownKeyMessage } from "../rules/suggest.ts";
import { isPlainObject, removeAt, type PlainObject } from "./tree.ts";
import { parseValue } from "./yaml.ts";

/**
 * The overrides that a launcher (torchrun, srun) stands for: with RANK and WORLD_SIZE in the environment this process is
 * one rank of WORLD_SIZE, whatever processes.procs says. Give them to `Config.fromYaml` after the user's.
 */
export function launcherOverrides(env: Readonly<Record<string, string | undefined>>): string[] {
  const { RANK: rank, WORLD_SIZE: worldSize } = env;
  return rank !== undefined && /^[1-9]\d*$/.test(worldSize ?? "") ? [`processes.procs=${worldSize}`] : [];
}

/** Applies overrides to `raw` in place (give it a copy), and returns the paths that they touched. */
export function applyOverrides(raw: PlainObject, overrides: readonly string[], problems: Problem[]): Path[] {
  const touched: Path[] = [];
  for (const text of overrides) {
    const removes = text.startsWith("~");
    const equals = text.indexOf("=");
    const name = text.slice(removes ? 1 : 0, equals < 0 ? undefined : equals).trim();
    const path = parsePath(name);
    const message =
      syntaxProblem(text, name, removes, equals) ?? (isKnown(path) ? undefined : unknownKeyMessage(path));
    if (message !== undefined) {
      problems.push({ path: [], message });
      continue;
    }
    touched.push(path);
    if (removes) removeAt(raw, path);
    else {
      const failure = set(raw, path, parseValue(text.slice(equals + 1).trim(), path));
      if (failure !== undefined) problems.push({ path: [], message: failure });
    }
  }
  return touched;
}

/** Whether a key takes a value by itself, as written on the command line. */
export function takesValue(name: string, text: string): boolean {
  const schema = findKey(name)?.schema;
  return schema !== undefined && schema.safeParse(parseValue(text.trim(), parsePath(name))).success;
}

function syntaxProblem(text: string, name: string, removes: boolean, equals: number): string | undefined {
  if (text.startsWith("--")) {
    const key = text.replace(/^-+/, "");
    return `${text}: keys are written without dashes: ${key.includes("=") ? key : `${key}=VALUE`}`;
  }
  if (text.startsWith("+")) return `${text}: the + is not needed; write ${text.replace(/^\++/, "")}`;
  if (removes && equals >= 0) return `${text}: ~ takes no value; write ~${name}`;
  if (name === "" || (!removes && equals < 0)) {
    return `${JSON.stringify(text)}: expected key=value or ~key, e.g. training.steps=100 or ~training.seed`;
  }
  return undefined;
}

/** Sets a value, making sections and list entries on the way; returns what is wrong, if anything. */
function set(raw: PlainObject, path: Path, value: unknown): string | undefined {
  let at: unknown = raw;
  for (const [i, segment] of path.entries()) {
    const before = pathText(path.slice(0, i));
    if (typeof segment === "number") {
      const length = Array.isArray(at) ? at.length : 0;
      if (!Array.isArray(at) || segment > length) {
        return `${pathText(path)}: ${before} has no entry ${segment} (it has ${length}); give the whole list, e.g. '${before}=[{path: data.jsonl}]'`;
      }
    } else if (!isPlainObject(at)) {
      return `${pathText(path)} can't be set, because ${before} is not a section`;
    }
    const parent = at as Record<string | number, unknown>;
    if (i === path.length - 1) parent[segment] = value;
    else at = parent[segment] ??= typeof path[i + 1] === "number" ? [] : {};
  }
  return undefined;
}
