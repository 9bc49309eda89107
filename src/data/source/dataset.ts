// Data sets as a configuration names them: path, split (or part of one), format, columns. Gives numbered rows, each
// with the format it is to be read in. Downloading is not here: `resolveDataset` turns a hub name into files.
import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { basename } from "node:path";
import { parseSplit } from "../../config/index.ts";
import { expandHome, UserError } from "../../util/index.ts";
import { namesOfSplit, splitWords } from "../../hub/index.ts";
import { fileKind, findDataFiles } from "./files.ts";
import { detectFormat, type ColumnMap, type FormatName, type Wording } from "../text/formats.ts";
import { readRows } from "./rows.ts";
import { joinStores, openRows, parseRow, sliceStore, type RowStore, type StoredRow } from "./store.ts";
import { checkTransform } from "../text/load-transform.ts";
import { transformStore, type MessageTransform } from "../text/transform.ts";
import { isRecord } from "../types.ts";
import { pythonJson } from "../values.ts";

/** One data set; the entries of `training.datasets` fit as they are. */
export interface DatasetSource {
  readonly path: string;
  readonly subset?: string | null;
  /** `train`, `train[:95%]`, `train[100:200]`. Default `train`. */
  readonly split?: string;
  readonly format?: FormatName | "auto";
  readonly columns?: ColumnMap;
  /** Read as it comes, and not as a whole: one data set, in its own order. */
  readonly stream?: boolean;
  /** Makes messages of the rows, in place of `format` and `columns`. */
  readonly transform?: MessageTransform;
  /** The same, as FILE#NAME: `training.message_transform`. */
  readonly transformFrom?: string | undefined;
  /** What `transform` does, as text. Default: the function's own. */
  readonly transformText?: string;
  /** The configuration key that names it, for messages. Default `training.dataset`. */
  readonly key?: string;
}

/** With `~` put in. */
export const atHome = (source: DatasetSource): DatasetSource => ({
  ...source,
  path: expandHome(source.path),
});
const keyOf = (source: DatasetSource): string => source.key ?? "training.dataset";

/** Finds the files of a hub data set's split; `undefined` where there is no such data set. */
export type ResolveDataset = (
  name: string,
  split: string,
  subset: string | null,
) => Promise<readonly string[] | undefined>;

/** How data sets are opened. */
export interface OpenOptions {
  readonly resolve?: ResolveDataset | undefined;
  /** What the columns instruction + output are where no format is given. Default `alpaca`. */
  readonly wording?: Wording | undefined;
  /** Told of files that are left out. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

/** How the rows of one source are read. */
export interface SourceFormat {
  readonly format: FormatName;
  readonly columns: ColumnMap;
}

/** Rows of all sources in one numbering. */
export interface Dataset {
  readonly length: number;
  get(row: number): StoredRow;
  /** Index into `formats` of the row's source. */
  formatOf(row: number): number;
  readonly formats: readonly SourceFormat[];
  /** Changes when any row does. */
  readonly hash: string;
  /** Closes its files. Closing again does nothing. */
  close(): void;
}

/**
 * Opens data sets as one.
 * @throws UserError for what is not there, has no rows, or whose format can't be told.
 */
export async function openDataset(
  sources: readonly DatasetSource[],
  options: OpenOptions = {},
): Promise<Dataset> {
  const stores: RowStore[] = [];
  const formats: SourceFormat[] = [];
  const { wording = "alpaca" } = options;
  const endings: string[] = []; // the same bytes are other rows as .csv and as .tsv
  try {
    for (const source of sources.map(atHome)) {
      const store = await openSource(source, options, (files) => endings.push(...files.map(endingOf)));
      stores.push(store);
      formats.push(formatOfSource(source, store, wording));
    }
  } catch (error) {
    for (const store of stores) store.close();
    throw error;
  }
  const all = joinStores(stores);
  const ends: number[] = [];
  for (const store of stores) ends.push((ends.at(-1) ?? 0) + store.length);
  return {
    length: all.length,
    get: (row) => all.get(row),
    formatOf: (row) => ends.findIndex((end) => row < end),
    formats,
    hash: createHash("sha256")
      .update(JSON.stringify([all.contentHash, endings]))
      .digest("hex"),
    close: () => all.close(),
  };
}

/** `.jsonl.gz` of `train.jsonl.gz`. */
const endingOf = (file: string): string => /(\.[a-z]+)*$/i.exec(basename(file))![0].toLowerCase();

/** What is said where a folder has rows in several formats. */
export const leftOutText = (key: string, path: string, files: readonly string[]): string =>
  `${key}: ${path} has files of several formats, and those of one are taken, as on the hub: left out are ` +
  `${files.slice(0, 3).join(", ")}${files.length > 3 ? ` and ${files.length - 3} more` : ""}. ` +
  "Where they have other rows, name the files, or list them in training.datasets";

async function openSource(
  source: DatasetSource,
  { resolve, onWarning = () => {} }: OpenOptions,
  onFiles: (files: readonly string[]) => void,
): Promise<RowStore> {
  const split = parseSplit(source.split ?? "train");
  const isLocal = existsSync(source.path) || !isHubName(source.path);
  checkSplitOfFile(source);
  const resolved = isLocal ? undefined : await resolve?.(source.path, split.name, source.subset ?? null);
  const files =
    resolved ??
    findDataFiles(source.path, split.name, keyOf(source), (leftOut) =>
      onWarning(leftOutText(keyOf(source), source.path, leftOut)),
    );
  onFiles(files);
  const store = await openRows(files);
  const rows = (bound: typeof split.from, otherwise: number): number => {
    if (bound === undefined) return otherwise;
    const n = bound.unit === "percent" ? Math.round((store.length * bound.value) / 100) : bound.value;
    return Math.min(store.length, Math.max(0, n < 0 ? store.length + n : n));
  };
  const sliced = sliceStore(store, rows(split.from, 0), rows(split.to, store.length));
  if (sliced.length === 0) {
    store.close();
    throw hasNoRows(source, store.length > 0 ? ` in ${source.split} (the whole has ${store.length})` : "");
  }
  const { transform, transformText } = source;
  return transform === undefined
    ? sliced
    : transformStore(sliced, transform, transformName(source), transformText);
}

/** What messages call a data set's function. */
export const transformName = ({ transformFrom }: DatasetSource): string =>
  transformFrom === undefined ? "messageTransform" : "training.message_transform";

const hasNoRows = (source: DatasetSource, where = ""): UserError =>
  new UserError(`${keyOf(source)}: ${source.path} has no rows${where}`, { exitCode: 2 });

/**
 * Checks what takes no time, before a model is loaded: whether the local files exist and have a row, and whether
 * its form fit. Data sets of the hub are left to `openDataset`.
 * @throws UserError as `openDataset` would.
 */
export async function checkSources(sources: readonly DatasetSource[]): Promise<void> {
  for (const source of sources.map(atHome)) {
    if (!existsSync(source.path) && isHubName(source.path)) continue;
    checkSplitOfFile(source);
    const files = findDataFiles(source.path, parseSplit(source.split ?? "train").name, keyOf(source));
    const rows = readRows(files); // on to the first file that has one
    const { value: row } = await rows.next();
    await rows.return(undefined); // closes the file
    if (row === undefined) throw hasNoRows(source);
    if (source.transformFrom !== undefined) {
      checkTransform(source.transformFrom);
      continue;
    }
    // Whether a bad row is an error depends on training.on_bad_row.
    if ("value" in row && isRecord(row.value) && (source.format ?? "auto") === "auto")
      detectFormat(row.value, source.columns, keyOf(source));
  }
}

function checkSplitOfFile(source: DatasetSource): void {
  const { name } = parseSplit(source.split ?? "train");
  if (!existsSync(source.path) || !statSync(source.path).isFile() || hasSplit(source.path, name)) return;
  throw new UserError(
    `${keyOf(source)}: ${source.path} is one file, which is split "train"; found split "${name}". ` +
      "Name the file of that split instead, or take a part: train[95%:]",
    { exitCode: 2 },
  );
}

/** `org/name`, with `hf://` or `datasets/` before it and `@revision` after it; not `data/rows.jsonl`, not `./x/y`. */
export const isHubName = (path: string): boolean =>
  fileKind(path) === undefined &&
  (path.startsWith("hf://") || /^(datasets\/)?[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*(@[\w.-]+)?$/.test(path));

function hasSplit(file: string, split: string): boolean {
  const name = basename(file);
  const words = [...splitWords(name), ...name.toLowerCase().split(/[._-]+/)];
  return split === "train" || namesOfSplit(split).some((name) => words.includes(name));
}

function formatOfSource(source: DatasetSource, store: RowStore, wording: Wording): SourceFormat {
  if (source.transform !== undefined) return { format: "messages", columns: {} };
  const columns = source.columns ?? {};
  if (source.format !== undefined && source.format !== "auto") return { format: source.format, columns };
  // The first row may be bad; a data set whose first rows are all bad has a format that can't be told.
  for (let row = 0; row < Math.min(store.length, 100); row++) {
    const found = parseRow(store.get(row));
    if (!("value" in found) || !isRecord(found.value)) continue;
    const format = detectFormat(found.value, columns, keyOf(source));
    return { format: format === "alpaca" ? wording : format, columns };
  }
  const first = parseRow(store.get(0));
  const found = "bad" in first ? first.bad : pythonJson("value" in first ? first.value : null);
  throw new UserError(
    `${keyOf(source)}: ${source.path}: none of the first rows is an object, so its format can't be told; found ` +
      `in line ${first.line}: ${found.slice(0, 200)}`,
    { exitCode: 2 },
  );
}
