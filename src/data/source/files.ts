// Finds the data files that a path means: a file, a folder, a glob. Not the hub: a name that is no path on this
// machine is resolved to files by the caller (resolveDataset) before it comes here.
import fs, { existsSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import {
  datasetFormats,
  formatOf,
  namesOfSplit,
  splitWords,
  type DatasetFormat,
  type RemoteFile,
} from "../../hub/index.ts";
import { UserError } from "../../util/index.ts";

/** A data file: its path, or one of the hub that is read from there. */
export type DataFile = string | RemoteFile;

/** What messages call a data file. */
export const nameOf = (file: DataFile): string => (typeof file === "string" ? file : file.name);

export type FileKind = DatasetFormat;

const packings = { ".gz": "gzip", ".zst": "zstd" } as const;
export type Packing = (typeof packings)[keyof typeof packings];

/** How a file is packed, by its name. */
export function packingOf(path: string): Packing | undefined {
  const name = path.toLowerCase();
  return Object.entries(packings).find(([ending]) => name.endsWith(ending))?.[1];
}

/** A file's name in lower case, without the ending of its packing. */
export const unpackedName = (path: string): string => path.toLowerCase().replace(/\.(?:gz|zst)$/, "");

/** The kind of a data file by its name; `undefined` for a name that isn't one. Parquet packs itself; text may be packed. */
export const fileKind: (path: string) => FileKind | undefined = formatOf;

const endings = Object.keys(datasetFormats).map((extension) => `.${extension}`);
const expected = `${endings.join(", ")} (text also with .gz or .zst)`;

/**
 * The data files under a path, sorted by name. Of a folder, those whose name carries the split
 * (`train.jsonl`, `train-00000-of-00002.parquet`, `data/test/…`), or all when no file names any split.
 * @param key the configuration key that names the path, for messages
 * @param onLeftOut gets the files of the split that are of another format than those that are taken
 * @throws UserError when there is none.
 */
export function findDataFiles(
  path: string,
  split = "train",
  key = "training.dataset",
  onLeftOut: (files: readonly string[]) => void = () => {},
): string[] {
  if (existsSync(path)) {
    if (!statSync(path).isDirectory()) {
      if (fileKind(path) === undefined)
        throw new UserError(`${key}: ${path} is not a data file; expected ${expected}`, {
          exitCode: 2,
        });
      return [path];
    }
    const all = fs
      .globSync("**/*", { cwd: path })
      .filter((file) => isData(file) && isFile(join(path, file)))
      .sort();
    if (all.length === 0)
      throw new UserError(`${key}: folder ${path} has no data files; expected ${expected}`, {
        exitCode: 2,
      });
    return ofSplit(all, split, path, key, onLeftOut).map((file) => join(path, file));
  }
  const matches = /[*?[{]/.test(path)
    ? fs
        .globSync(path)
        .filter((file) => isData(file) && isFile(file))
        .sort()
    : [];
  if (matches.length > 0) return matches;
  throw new UserError(
    `${key}: ${path} was not found: no such file, folder or pattern. Expected a path to ${expected}, ` +
      "a folder of them, or a data set's name on the hub (org/name).",
    { exitCode: 2 },
  );
}

/** Spark names folders as files, `train.jsonl/part-0.jsonl`. */
const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;

// A dotted name (`.cache`) is never data; in model folders, neither are these.
const isData = (file: string): boolean =>
  fileKind(file) !== undefined &&
  !/(^|[\\/])(\.|dataset_infos\.json$|dataset_info\.json$|state\.json$)/.test(file);

/** The split that a file's path names, by the words in it: the asked one first. */
function splitOf(file: string, asked: readonly string[]): string | undefined {
  const words = splitWords(file);
  return (
    words.find((word) => asked.includes(word)) ??
    file
      .toLowerCase()
      .split(/[\\/._-]+/)
      .find((word) => asked.includes(word)) ??
    words[0]
  );
}

/** The files of one split among names relative to a folder, of one format; all of them where no name says a split. */
export function ofSplit(
  files: readonly string[],
  split: string,
  folder: string,
  key = "training.dataset",
  onLeftOut: (files: readonly string[]) => void = () => {},
): string[] {
  const asked = namesOfSplit(split);
  const named = files.map((file) => [file, splitOf(file, asked)] as const);
  if (named.every(([, name]) => name === undefined)) return ofOneFormat(files, onLeftOut);
  const chosen = named.filter(([, name]) => name !== undefined && asked.includes(name)).map(([file]) => file);
  if (chosen.length > 0) return ofOneFormat(chosen, onLeftOut);
  const found = [...new Set(named.map(([, name]) => name).filter((name) => name !== undefined))];
  throw new UserError(
    `${key}: ${folder} has no split "${split}"; found ${found.join(", ")} (in ${named.length} files such as ` +
      `${basename(files[0]!)})`,
    { exitCode: 2 },
  );
}

/**
 * The same rows are often stored in several formats: as on the hub, one is taken, the one with most files. The first is taken
 * where two have as many.
 */
function ofOneFormat(files: readonly string[], onLeftOut: (files: readonly string[]) => void): string[] {
  const kindsOfFiles = ["parquet", "jsonl", "json", "csv"] as const;
  const [most] = kindsOfFiles
    .map((kind) => files.filter((file) => fileKind(file) === kind))
    .sort((a, b) => b.length - a.length);
  const leftOut = files.filter((file) => !most!.includes(file));
  if (leftOut.length > 0) onLeftOut(leftOut);
  return most!;
}
