// Finds the data files that a path means: a file, a folder, a glob. Not the hub: a name that is no path on this
// machine is resolved to files by the caller (resolveDataset) before it comes here.
import { existsSync, globSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { UserError } from "../../util/index.ts";

const kinds = {
  ".jsonl": "jsonl",
  ".ndjson": "jsonl",
  ".json": "json",
  ".parquet": "parquet",
  ".csv": "csv",
  ".tsv": "csv",
} as const;
export type FileKind = (typeof kinds)[keyof typeof kinds];

/** The kind of a data file by its name; `undefined` for a name that isn't one. A `.gz` at the end is looked through. */
export function fileKind(path: string): FileKind | undefined {
  const name = path.toLowerCase().replace(/\.gz$/, "");
  for (const [ending, kind] of Object.entries(kinds)) if (name.endsWith(ending)) return kind;
  return undefined;
}

const expected = Object.keys(kinds).join(", ");

/**
 * The data files under a path, sorted by name. Of a folder, those whose name carries the split
 * (`train.jsonl`, `train-00000-of-00002.parquet`, `data/test/…`), or all when no file names any split.
 * @param key the configuration key that names the path, for messages
 * @throws UserError when there is none.
 */
export function findDataFiles(path: string, split = "train", key = "training.dataset"): string[] {
  if (existsSync(path)) {
    if (!statSync(path).isDirectory()) {
      if (fileKind(path) === undefined)
        throw new UserError(`${key}: ${path} is not a data file; expected ${expected}`, {
          exitCode: 2,
        });
      return [path];
    }
    const all = globSync("**/*", { cwd: path }).filter(isData).sort();
    if (all.length === 0)
      throw new UserError(`${key}: folder ${path} has no data files; expected ${expected}`, {
        exitCode: 2,
      });
    return ofSplit(all, split, path, key).map((file) => join(path, file));
  }
  const matches = /[*?[{]/.test(path) ? globSync(path).filter(isData).sort() : [];
  if (matches.length > 0) return matches;
  throw new UserError(
    `${key}: ${path} was not found: no such file, folder or pattern. Expected a path to ${expected}, ` +
      "a folder of them, or a data set's name on the hub (org/name).",
    { exitCode: 2 },
  );
}

// A dotted name (`.cache`) is never data; in model folders, neither are these.
const isData = (file: string): boolean =>
  fileKind(file) !== undefined &&
  !/(^|[\\/])(\.|dataset_infos\.json$|dataset_info\.json$|state\.json$)/.test(file);

const splitNames = [
  "train",
  "training",
  "validation",
  "valid",
  "val",
  "dev",
  "test",
  "testing",
  "eval",
  "heldout",
];

/** The files of one split among names relative to a folder; all of them where no name says a split. */
export function ofSplit(
  files: readonly string[],
  split: string,
  folder: string,
  key = "training.dataset",
): string[] {
  const splitOf = (file: string): string | undefined => {
    const words = file.toLowerCase().split(/[\\/._-]+/);
    return (
      words.find((word) => word === split.toLowerCase()) ?? words.find((word) => splitNames.includes(word))
    );
  };
  const named = files.map((file) => [file, splitOf(file)] as const);
  if (named.every(([, name]) => name === undefined)) return [...files];
  const chosen = named.filter(([, name]) => name === split.toLowerCase()).map(([file]) => file);
  if (chosen.length > 0) return chosen;
  const found = [...new Set(named.map(([, name]) => name).filter((name) => name !== undefined))];
  throw new UserError(
    `${key}: ${folder} has no split "${split}"; found ${found.join(", ")} (in ${named.length} files such as ` +
      `${basename(files[0]!)})`,
    { exitCode: 2 },
  );
}
