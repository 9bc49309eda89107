// A data set that is read as it comes: shard by shard, each from its first row on, in order. Nothing of it is stored. A place in it
// is a shard and a row, so going on there reads the shard up to it once more.
import { createHash } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { parseSplit } from "../../config/index.ts";
import type { RemoteFile } from "../../hub/index.ts";
import { UserError } from "../../util/index.ts";
import { ownShards, type StreamPlace, type StreamState } from "../load/stream-state.ts";
import { detectFormat, type FormatName, type Wording } from "../text/formats.ts";
import { transformRow } from "../text/transform.ts";
import { isRecord } from "../types.ts";
import {
  atHome,
  isHubName,
  leftOutText,
  transformName,
  type DatasetSource,
  type SourceFormat,
} from "./dataset.ts";
import { findDataFiles, nameOf, type DataFile } from "./files.ts";
import { changedMeanwhile, identityOfPath } from "./open-file.ts";
import type { ReadRow } from "./bad-rows.ts";
import { readRows } from "./rows.ts";
import type { StoredRow } from "./store.ts";

/** Finds the files of a hub data set's split without downloading them. */
export type ResolveStream = (
  name: string,
  split: string,
  subset: string | null,
) => Promise<readonly (RemoteFile | string)[]>;

/** How a stream is opened. */
export interface OpenStreamOptions {
  readonly resolveStream?: ResolveStream | undefined;
  /** What the columns instruction + output are where no format is given. Default `alpaca`. */
  readonly wording?: Wording | undefined;
  /** Told of files that are left out. */
  readonly onWarning?: ((message: string) => void) | undefined;
}

export interface StreamOptions {
  readonly rank: number;
  readonly worldSize: number;
}

export class RowStream {
  readonly format: SourceFormat;
  /** Of the files' names and hashes, their order, and the part that is read. */
  readonly hash: string;
  readonly #files: readonly DataFile[];
  /** What the local ones were when the stream was opened. */
  readonly #identities: readonly (string | undefined)[];
  readonly #source: DatasetSource;
  /** Rows of an epoch, at most. */
  readonly #limit: number;

  private constructor(
    files: readonly DataFile[],
    source: DatasetSource,
    limit: number,
    format: SourceFormat,
  ) {
    this.#files = files;
    this.#identities = files.map((file) => (typeof file === "string" ? identityOfPath(file) : undefined));
    this.#source = source;
    this.#limit = limit;
    this.format = format;
    const transform = source.transformText ?? source.transform?.toString() ?? null;
    this.hash = createHash("sha256")
      .update(JSON.stringify([files.map(hashedOf), limit, transform]))
      .digest("hex");
  }

  /**
   * Finds the shards, and reads up to the first row that says what form the rows have.
   * @throws UserError for what is not there, has no rows, or whose format can't be told
   */
  static async open(
    given: DatasetSource,
    { resolveStream: resolve, wording = "alpaca", onWarning = () => {} }: OpenStreamOptions = {},
  ): Promise<RowStream> {
    const source = atHome(given);
    const { key = "training.dataset", path, subset = null } = source;
    const split = parseSplit(source.split ?? "train");
    const { to } = split;
    if (split.from !== undefined || (to !== undefined && (to.unit !== "rows" || to.value < 1)))
      throw new UserError(
        `${key}: a stream is read from its first row on, so of a split it takes the first rows alone, as in ${split.name}[:10000]; found ${source.split}. ` +
          "Set training.stream: false for other parts",
        { exitCode: 2 },
      );
    const isLocal = existsSync(path) || !isHubName(path) || resolve === undefined;
    const files = isLocal
      ? findDataFiles(path, split.name, key, (leftOut) => onWarning(leftOutText(key, path, leftOut)))
      : await resolve(path, split.name, subset);
    const limit = to?.value ?? Infinity;
    return new RowStream(files, source, limit, await formatOf(files, source, key, wording));
  }

  get shards(): number {
    return this.#files.length;
  }

  /** Rows of an epoch, at most; null: all there are. */
  get limit(): number | null {
    return this.#limit === Infinity ? null : this.#limit;
  }

  /**
   * The rows of a rank from a place on, to the end of the epoch.
   * @param read rows that are left out, as StreamState has them
   */
  async *rows(
    from: StreamPlace,
    { rank, worldSize }: StreamOptions,
    read: StreamState["read"] = {},
  ): AsyncGenerator<{ readonly place: StreamPlace; readonly stored: StoredRow }> {
    const { epoch } = from;
    const isDivided = ownShards(this, worldSize);
    let index = from.index - from.row;
    for (let shard = from.shard; shard < this.shards; shard++) {
      if (isDivided && shard % worldSize !== rank) continue;
      const known = read[shard] ?? 0;
      if (known === -1 && this.#limit === Infinity) continue;
      // Where rows are limited, those of a shard that is done are counted, too.
      const done = known === -1 ? Infinity : known;
      const first = Math.max(done, shard === from.shard ? from.row : 0);
      let row = 0;
      for await (const stored of this.#rowsOf(shard)) {
        if (index >= this.#limit) {
          this.#check(shard);
          return;
        }
        const place = { epoch, shard, row: row++, index: index++ };
        if (place.row < first || (!isDivided && place.index % worldSize !== rank)) continue;
        yield { place, stored: this.#transformed(stored) };
      }
    }
  }

  /** @throws UserError for a local file that isn't any more the one that was opened */
  async *#rowsOf(shard: number): AsyncGenerator<ReadRow> {
    let rows = 0;
    try {
      for await (const row of readRows([this.#files[shard]!])) {
        // What follows a rewriting may well be half a row.
        if (rows++ % rowsPerCheck === 0 || "bad" in row) this.#check(shard);
        yield row;
      }
    } catch (error) {
      this.#check(shard);
      throw error;
    }
    this.#check(shard);
  }

  #check(shard: number): void {
    const file = this.#files[shard]!;
    if (typeof file === "string" && identityOfPath(file) !== this.#identities[shard])
      throw changedMeanwhile(file);
  }

  #transformed(stored: StoredRow): StoredRow {
    const { transform } = this.#source;
    return transform === undefined ? stored : transformRow(stored, transform, transformName(this.#source));
  }
}

/** A file of the hub is known by its hash; a local one, which isn't read as a whole, by size and time. */
function hashedOf(file: DataFile): unknown {
  if (typeof file !== "string") return [file.name, file.etag];
  const { size, mtimeMs } = statSync(file);
  return [file, size, mtimeMs];
}

const withWording = (format: FormatName, wording: Wording): FormatName =>
  format === "alpaca" ? wording : format;

const rowsForFormat = 100;

const rowsPerCheck = 256;

async function formatOf(
  files: readonly DataFile[],
  source: DatasetSource,
  key: string,
  wording: Wording,
): Promise<SourceFormat> {
  const { columns = {}, format = "auto", transform } = source;
  if (transform !== undefined) return { format: "messages", columns: {} };
  if (format !== "auto") return { format, columns };
  let rows = 0;
  for await (const row of readRows(files)) {
    if ("value" in row && isRecord(row.value))
      return { format: withWording(detectFormat(row.value, columns, key), wording), columns };
    if (++rows === rowsForFormat) break;
  }
  throw new UserError(
    rows === 0
      ? `${key}: ${source.path} has no rows`
      : `${key}: ${source.path}: none of the first rows is an object, so its format can't be told (${files.slice(0, 2).map(nameOf).join(", ")})`,
    { exitCode: 2 },
  );
}
