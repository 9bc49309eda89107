// From what the user gave to a complete configuration, or to the list of everything that is wrong with it.
// The order: overrides, interpolation, dependent defaults, the schema, the checks, what is supported.
import { runChecks } from "./checks.ts";
import { defaultOf, dependentDefaults } from "./dependent-defaults.ts";
import { describeType, show, wordsOf } from "../schema/describe.ts";
import { interpolate, type EnvironmentText } from "../values/interpolate.ts";
import { allKeys, findKey, keyAround, parsePath, pathText, shapeOf, type Path } from "../schema/keys.ts";
import { mostListed, type Problem } from "./problems.ts";
import { schema, type TorchforgeConfig } from "../schema/schema.ts";
import { nearestWord, unknownKeyMessage } from "./suggest.ts";
import { supportProblems } from "./support.ts";
import { expandHome } from "../../util/index.ts";
import { isPlainObject, removeAt, replaceAt, valueAt, type PlainObject } from "../values/tree.ts";

export interface Validated {
  /** Complete only when there are no problems. */
  value: TorchforgeConfig;
  problems: Problem[];
  warnings: Problem[];
  fromEnvironment: readonly EnvironmentText[];
}

/** The message for a value that is not what its key wants. */
function valueMessage(path: Path, found: unknown, ownMessage: string | undefined): string {
  const name = pathText(path);
  const key = keyAround(path);
  if (key === undefined) return `${name}: ${ownMessage ?? "is not valid"}, found ${show(found)}`;
  if (found === undefined && key.required) {
    return `${name} is missing, and has no default. ${key.meta.description}`;
  }
  const isWhole = key.path.length === path.length;
  const expected =
    ownMessage ?? (isWhole ? describeType(key.schema) : `an entry of ${describeType(key.schema)}`);
  let hint = "";
  if (typeof found === "string") {
    const near = nearestWord(found, wordsOf(key.schema));
    if (near !== undefined) hint = `; did you mean ${near}?`;
    else if (/^[-+\d.e]+$/i.test(found) && !Number.isNaN(Number(found)))
      hint = "; write the number without quotes";
    else if (/^(yes|on|true|no|off|false)$/i.test(found)) hint = "; write true or false, without quotes";
  } else if (typeof found !== "object" && expected.startsWith("text"))
    hint = `; put it in quotes: "${show(found)}"`;
  return `${name}: expected ${expected}, found ${show(found)}${hint}`;
}

/** Keys that are paths, in which the home folder is meant by `~` and `$HOME`; those of data sets are the data's. */
const pathKeys = [
  "job.dump_folder",
  "model.hf_assets_path",
  "checkpoint.folder",
  "checkpoint.initial_load_path",
  "comm.save_traces_folder",
  "metric_logging.tensorboard.folder",
];

/** Sections that are missing or empty become {}, so that their keys get their defaults. */
function fillSections(type: Parameters<typeof shapeOf>[0], value: PlainObject): void {
  for (const [name, child] of Object.entries(shapeOf(type) ?? {})) {
    if (shapeOf(child) === undefined) continue;
    value[name] ??= {};
    const section = value[name];
    if (isPlainObject(section)) fillSections(child, section);
  }
}

/**
 * Validates `raw`, a copy of what the user gave with the overrides applied.
 */
export function validate(
  raw: PlainObject,
  options: {
    env: Readonly<Record<string, string | undefined>>;
    allowUnsupported: boolean;
    /** Judge this section alone: no problem of another, no check that looks at another. */
    only?: string;
    /** What training.epochs comes to, where that is known. */
    steps?: number | undefined;
  },
): Validated {
  const problems: Problem[] = [];

  const get = (name: string): unknown => {
    const given = valueAt(raw, parsePath(name));
    return given === undefined ? defaultOf(name, get) : given;
  };
  const fromEnvironment: EnvironmentText[] = [];
  const filled = interpolate(raw, get, options.env, problems, fromEnvironment) as PlainObject;
  // A value that could not be interpolated is gone, but it was given: the checks must not blame its default.
  const bad = new Set(problems.map(({ path }) => pathText(path)));

  fillSections(schema, filled);
  for (const name of pathKeys) {
    const path = parsePath(name);
    const value = valueAt(filled, path);
    if (typeof value === "string") replaceAt(filled, path, expandHome(value));
  }
  const { steps } = options;
  const getFilled = (name: string): unknown =>
    name === "training.steps" && steps !== undefined
      ? steps
      : (valueAt(filled, parsePath(name)) ?? findKey(name)?.default);
  for (const [name, find] of Object.entries(dependentDefaults)) {
    const path = parsePath(name);
    const section = valueAt(filled, path.slice(0, -1));
    if (isPlainObject(section) && section[path.at(-1)!] === undefined)
      section[path.at(-1)!] = find(getFilled);
  }
  const everyNth = valueAt(filled, ["activation_checkpoint", "selective_ac_option"]);
  if (typeof everyNth === "string" && /^\d+$/.test(everyNth)) {
    (filled["activation_checkpoint"] as PlainObject)["selective_ac_option"] = Number(everyNth);
  }

  const first = schema.safeParse(filled);
  let value = first.data;
  if (first.error !== undefined) {
    for (const issue of first.error.issues) {
      if (issue.code === "unrecognized_keys") {
        for (const unknown of issue.keys) {
          const path = [...issue.path, unknown] as Path;
          // Looking for the key that was meant takes time.
          const isListed = problems.length < mostListed;
          problems.push({
            path,
            message: isListed ? unknownKeyMessage(path) : `${pathText(path)} is not a key`,
          });
          removeAt(filled, path);
        }
        continue;
      }
      const path = issue.path as Path;
      const found = valueAt(filled, path);
      if (bad.has(pathText(path))) continue; // its interpolation failed, and that was said
      bad.add(pathText(path));
      const own = issue.code === "invalid_format" ? issue.message : undefined;
      problems.push({ path, message: valueMessage(path, found, own) });
    }
    // Once more without the bad values, so that the checks over several keys can run on the rest. A list with a bad
    // entry is bad as a whole.
    for (const { path } of problems) {
      const listAt = path.findIndex((segment) => typeof segment === "number");
      const culprit = listAt < 0 ? path : path.slice(0, listAt);
      if (listAt >= 0) bad.add(pathText(culprit));
      removeAt(filled, culprit);
    }
    fillSections(schema, filled);
    const section = filled["model"];
    if (isPlainObject(section)) section["hf_assets_path"] ??= "missing";
    value = schema.parse(filled);
  }
  const complete = value!;
  const badNames = [...bad];
  const { only } = options;
  const isBad = (key: string) =>
    (only !== undefined && !key.startsWith(`${only}.`)) ||
    badNames.some((name) => name === key || key.startsWith(`${name}.`));
  problems.push(...runChecks(complete, "error", isBad, steps));
  if (!options.allowUnsupported) problems.push(...supportProblems(complete));
  problems.sort((a, b) => order(a.path) - order(b.path));
  return {
    value: complete,
    problems: only === undefined ? problems : problems.filter(({ path }) => path[0] === only),
    warnings: runChecks(complete, "warning", isBad, steps),
    fromEnvironment,
  };
}

/** Position of a key in the schema; unknown ones stand with their section. */
function order(path: Path): number {
  const key = keyAround(path);
  return key === undefined ? -1 : allKeys().indexOf(key);
}
