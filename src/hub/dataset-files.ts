// Finds the files of a split in a data set's repository: by the README's `configs` (in its YAML front matter), else by the hub's
// naming conventions. Works on lists of paths, without disk or network.
// Conventions: https://huggingface.co/docs/hub/datasets-file-names-and-splits
import { createRequire } from "node:module";
import type * as Yaml from "yaml";
import { messageOf, UserError } from "../util/index.ts";
import { pathGlob } from "./glob.ts";

/** Formats of data files by extension, on the hub as on the disk. */
export const datasetFormats: Readonly<Record<string, DatasetFormat>> = {
  jsonl: "jsonl",
  ndjson: "jsonl",
  json: "json",
  parquet: "parquet",
  csv: "csv",
  tsv: "csv",
};

export type DatasetFormat = "parquet" | "jsonl" | "json" | "csv";

/** Names of splits and their other names, on the hub as on the disk. */
const aliases: Readonly<Record<string, readonly string[]>> = {
  train: ["train", "training"],
  validation: ["validation", "valid", "val", "dev", "heldout"],
  test: ["test", "testing", "eval", "evaluation"],
};

export interface SplitFiles {
  /** Sorted, so that shards are in order. */
  readonly paths: readonly string[];
  readonly format: DatasetFormat;
}

/** The format of a data file by its name; of `rows.jsonl.gz` that of what is packed in it. */
export function formatOf(path: string): DatasetFormat | undefined {
  const name = path.toLowerCase();
  const unpacked = name.replace(/\.(gz|zst)$/, "");
  const format = datasetFormats[unpacked.slice(unpacked.lastIndexOf(".") + 1)];
  return format === "parquet" && unpacked !== name ? undefined : format; // it packs itself
}

/**
 * Selects the files of `split` from `paths`.
 * @param readme the text of README.md, if there is one
 * @param config the name of a subset, if there are several
 * @throws UserError that lists the existing splits or subsets
 */
export function filesOfSplit(
  dataset: string,
  paths: readonly string[],
  readme: string | undefined,
  split: string,
  config?: string,
): SplitFiles {
  const declared = readme === undefined ? [] : readConfigs(dataset, readme);
  const splits =
    declared.length > 0
      ? declaredSplits(dataset, paths, declared, config)
      : conventionalSplits(dataset, paths, config);
  const found = namesOfSplit(split)
    .map((name) => splits.get(name))
    .find((list) => list !== undefined);
  if (found === undefined || found.length === 0) {
    const available = [...splits].filter(([, list]) => list.length > 0).map(([name]) => name);
    throw new UserError(
      `${dataset}: expected the split ${split}, found ${available.length > 0 ? available.join(", ") : "no files of rows (parquet, jsonl, json, csv)"}`,
    );
  }
  const kinds = new Set(found.map((path) => formatOf(path)));
  const [format] = kinds;
  if (kinds.size > 1 || format === undefined) {
    throw new UserError(
      `${dataset}: expected the files of the split ${split} to be of one format, found ${[...kinds].map(String).join(", ")}`,
    );
  }
  return { paths: [...found].sort(), format };
}

/** A split's name and its other names, the name first: `val` is `validation`. */
export const namesOfSplit = (split: string): string[] => [
  split,
  ...(Object.values(aliases).find((names) => names.includes(split.toLowerCase())) ?? [split.toLowerCase()]),
];

/** The names of splits that are words of a file's path. */
export function splitWords(path: string): string[] {
  const words = path.toLowerCase().split(/[-._ \\/0-9]+/);
  return words.filter((word) => Object.values(aliases).some((names) => names.includes(word)));
}

interface DeclaredConfig {
  readonly name: string;
  readonly isDefault: boolean;
  /** Patterns of paths by split. */
  readonly splits: ReadonlyMap<string, readonly string[]>;
}

function readConfigs(dataset: string, readme: string): DeclaredConfig[] {
  const text = readme.replace(/^\ufeff/, "").replaceAll(/\r\n?/g, "\n");
  const frontMatter = /^\s*---[ \t]*\n([^]*?)\n---/.exec(text)?.[1];
  if (frontMatter === undefined) return [];
  // Loaded where there is such a text: most runs read none.
  const { parse } = createRequire(import.meta.url)("yaml") as typeof Yaml;
  let metadata: unknown;
  try {
    metadata = parse(frontMatter, { uniqueKeys: false, logLevel: "error" }); // of a repeated key the last, as in Python
  } catch (error) {
    throw new UserError(
      `${dataset}: the YAML at the top of its README.md cannot be read (${messageOf(error)})`,
      {
        cause: error,
      },
    );
  }
  const configs = (metadata as { configs?: unknown } | null)?.configs;
  if (!Array.isArray(configs)) return [];
  return configs.flatMap((found: unknown) => {
    const entry = (found ?? {}) as Record<string, unknown>; // one that is empty declares nothing
    const prefix = typeof entry["data_dir"] === "string" ? `${entry["data_dir"].replace(/\/$/, "")}/` : "";
    const splits = readDataFiles(entry["data_files"], prefix);
    if (splits.size === 0) return [];
    const name = typeof entry["config_name"] === "string" ? entry["config_name"] : "default";
    return [{ name, isDefault: entry["default"] === true, splits }];
  });
}

/** `data_files` is a pattern, a list of patterns, or a list of {split, path}, where path is a pattern or a list. */
function readDataFiles(value: unknown, prefix: string): Map<string, readonly string[]> {
  const texts = (patterns: unknown): string[] =>
    (Array.isArray(patterns) ? patterns : [patterns]).flatMap((item) =>
      typeof item === "string" ? [prefix + item] : [],
    );
  const splits = new Map<string, readonly string[]>();
  const list: unknown[] = Array.isArray(value) ? value : [value];
  const unnamed = texts(list);
  if (unnamed.length > 0) splits.set("train", unnamed);
  for (const item of list) {
    if (typeof item !== "object" || item === null) continue;
    const { split, path } = item as { split?: unknown; path?: unknown };
    if (typeof split === "string") splits.set(split, texts(path));
  }
  return splits;
}

/** The folder in which all files of a split lie, where the README says so much; undefined: anywhere. */
export function commonFolder(
  dataset: string,
  readme: string,
  split: string,
  config?: string,
): string | undefined {
  const declared = readConfigs(dataset, readme);
  if (declared.length === 0) return undefined;
  const splits = [...selectConfig(dataset, declared, config).splits];
  const names = namesOfSplit(split);
  const patterns = splits.find(([name]) => names.includes(name))?.[1] ?? [];
  const folders = new Set(patterns.map((pattern) => /^(?:\.\/)?([^*?[{]*)\/[^]*$/.exec(pattern)?.[1]));
  const [folder] = folders;
  return folders.size === 1 && folder ? folder : undefined;
}

/** The configuration that was asked for, or that is the default. */
function selectConfig(
  dataset: string,
  configs: readonly DeclaredConfig[],
  requested: string | undefined,
): DeclaredConfig {
  const names = configs.map((config) => config.name);
  const byName = (name: string): DeclaredConfig | undefined => configs.find((config) => config.name === name);
  const selected =
    requested === undefined
      ? (configs.find((config) => config.isDefault) ??
        byName("default") ??
        (configs.length === 1 ? configs[0] : undefined))
      : byName(requested);
  if (selected === undefined) {
    const expected = requested === undefined ? "to be told which of its subsets" : `the subset ${requested}`;
    throw new UserError(`${dataset}: expected ${expected}, found ${names.join(", ")}`);
  }
  return selected;
}

function declaredSplits(
  dataset: string,
  paths: readonly string[],
  configs: readonly DeclaredConfig[],
  requested: string | undefined,
): Map<string, string[]> {
  const selected = selectConfig(dataset, configs, requested);
  const splits = new Map<string, string[]>();
  for (const [split, patterns] of selected.splits) {
    const globs = patterns.map(pathGlob);
    splits.set(
      split,
      paths.filter((path) => globs.some((matches) => matches(path))),
    );
  }
  return splits;
}

/** Splits by names in paths: `data/train-00000-of-00001.parquet`, `val/a.jsonl`. */
function conventionalSplits(
  dataset: string,
  all: readonly string[],
  config: string | undefined,
): Map<string, string[]> {
  const paths = all.filter((path) => formatOf(path) !== undefined && !isBookkeeping(path));
  const inConfig = config === undefined ? paths : paths.filter((path) => path.startsWith(`${config}/`));
  if (config !== undefined && inConfig.length === 0) {
    throw new UserError(`${dataset}: expected a folder ${config} with files of rows, found none`);
  }
  // Shards in data/ are named by their split, whatever its name. Only without such files, known words are searched.
  const shard = /^data\/([\w.]+(?:-[\w.]+)*?)-\d{5}-of-\d{5}(?:-[0-9a-f]+)?\.\w+(?:\.(?:gz|zst))?$/;
  const sharded = config === undefined && inConfig.some((path) => shard.test(path));
  const splits = new Map<string, string[]>();
  const rest: string[] = [];
  for (const path of inConfig) {
    const name = sharded ? shard.exec(path)?.[1] : wordSplit(path);
    if (name === undefined) rest.push(path);
    else splits.set(name, [...(splits.get(name) ?? []), path]);
  }
  // Without any split's name, all files are training data.
  if (splits.size === 0 && rest.length > 0) splits.set("train", preferOneFormat(rest));
  for (const [name, list] of splits) splits.set(name, preferOneFormat(list));
  return splits;
}

function wordSplit(path: string): string | undefined {
  const words = splitWords(path);
  return Object.keys(aliases).find((split) => words.some((word) => aliases[split]!.includes(word)));
}

/** The same rows are often stored in several formats: take the preferred one. */
function preferOneFormat(paths: string[]): string[] {
  for (const format of ["parquet", "jsonl", "json", "csv"] as const) {
    const some = paths
      .filter((path) => formatOf(path) === format)
      .filter((path) => !paths.includes(path.replace(/\.(gz|zst)$/i, "")) || !/\.(gz|zst)$/i.test(path));
    if (some.length > 0) return some;
  }
  return paths;
}

/** Files that describe a repository, without rows. */
function isBookkeeping(path: string): boolean {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return (
    name.startsWith(".") ||
    ["dataset_infos.json", "dataset_info.json", "state.json", "config.json", "dataset_dict.json"].includes(
      name,
    )
  );
}
