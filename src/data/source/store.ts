// The rows of a data set by number, in any order, so that a shuffle is of all rows and nothing waits for the last one.
// JSON lines stay on disk: only where each begins is known. The other kinds are held in memory as rows.
import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { closeSync, openSync, readFileSync, readSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { messageOf, UserError } from "../../util/index.ts";
import { fileKind } from "./files.ts";
import { readRows, type ReadRow } from "./rows.ts";
import type { Example } from "../types.ts";

/** Rows by number. A row of JSON lines comes as its text: parsing it is the tokenizing thread's work, and done once. */
export interface RowStore {
  readonly length: number;
  get(row: number): StoredRow;
  /** Of every byte of the files: the same rows have the same hash. */
  readonly contentHash: string;
  /** Closes its files. Closing again does nothing. */
  close(): void;
}

/** A row whose text is parsed, or one that a user's function made. */
type ParsedRow = ReadRow | { readonly file: string; readonly line: number; readonly example: Example };

/** A row as stored: some are JSON text that is still to be parsed. */
export type StoredRow = ParsedRow | { readonly file: string; readonly line: number; readonly text: string };

/** Parses what a store gave. */
export function parseRow(row: StoredRow): ParsedRow {
  if (!("text" in row)) return row;
  const { file, line, text } = row;
  try {
    return { file, line, value: JSON.parse(text) as unknown };
  } catch (error) {
    return { file, line, bad: `not JSON: ${messageOf(error)}` };
  }
}

/** Opens data files as one numbered list of rows, in the files' order. */
export async function openRows(files: readonly string[]): Promise<RowStore> {
  const stores: RowStore[] = [];
  try {
    for (const file of files)
      stores.push(fileKind(file) === "jsonl" ? openLines(file) : await openInMemory(file));
  } catch (error) {
    for (const store of stores) store.close();
    throw error;
  }
  return stores.length === 1 ? stores[0]! : joinStores(stores);
}

/** Several stores as one; the numbers of each follow those of the one before. */
export function joinStores(stores: readonly RowStore[]): RowStore {
  const starts: number[] = [];
  let length = 0;
  for (const store of stores) {
    starts.push(length);
    length += store.length;
  }
  return {
    length,
    contentHash: hashOf(stores.map((store) => store.contentHash)),
    get(row) {
      const at = starts.findLastIndex((start) => start <= row);
      return stores[at]!.get(row - starts[at]!);
    },
    close: () => {
      for (const store of stores) store.close();
    },
  };
}

/** Rows `from` (inclusive) to `to` (exclusive) of a store. */
export function sliceStore(store: RowStore, from: number, to: number): RowStore {
  if (from === 0 && to === store.length) return store;
  return {
    length: Math.max(0, to - from),
    contentHash: hashOf([store.contentHash, from, to]),
    get: (row) => store.get(from + row),
    close: () => store.close(),
  };
}

const hashOf = (parts: readonly unknown[]): string =>
  createHash("sha256").update(JSON.stringify(parts)).digest("hex");

const notUtf8 = "its text is not UTF-8 (Latin-1, Windows-1252 or the like); save the file as UTF-8";

async function openInMemory(file: string): Promise<RowStore> {
  const bytes = readFileSync(file);
  const contentHash = createHash("sha256").update(bytes).digest("hex");
  const isZipped = file.toLowerCase().endsWith(".gz");
  const isBroken = fileKind(file) !== "parquet" && !isUtf8(isZipped ? gunzipSync(bytes) : bytes);
  const rows: ReadRow[] = [];
  for await (const row of readRows([file])) {
    // What couldn't be decoded has become U+FFFD.
    const isBad = isBroken && "value" in row && JSON.stringify(row.value).includes("\ufffd");
    rows.push(isBad ? { file: row.file, line: row.line, bad: notUtf8 } : row);
  }
  return { length: rows.length, contentHash, get: (row) => rows[row]!, close: () => {} };
}

const newline = 0x0a;

/** JSON lines by where they begin. The file stays open; one that is gzipped is held unpacked in memory. */
function openLines(file: string): RowStore {
  const isZipped = file.toLowerCase().endsWith(".gz");
  let handle: number | undefined = openFile(file);
  const close = (): void => {
    if (handle !== undefined) closeSync(handle);
    handle = undefined;
  };
  try {
    const unpacked = isZipped ? gunzipSync(readFileSync(handle)) : undefined;
    const { starts, ends, lines, contentHash } = indexLines(unpacked ? [unpacked] : chunksOf(handle));
    if (unpacked) close();
    return {
      length: starts.length,
      contentHash,
      get(row) {
        const start = starts.at(row);
        const bytes = unpacked
          ? unpacked.subarray(start, ends.at(row))
          : readAt(handle, start, ends.at(row) - start);
        const line = lines.at(row);
        return isUtf8(bytes)
          ? { file, line, text: bytes.toString().replace(/^\ufeff/, "") }
          : { file, line, bad: notUtf8 };
      },
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** Where each line that isn't blank begins and ends, its number from 1, and the hash of every byte. */
function indexLines(chunks: Iterable<Buffer>): {
  starts: Numbers;
  ends: Numbers;
  lines: Numbers;
  contentHash: string;
} {
  const hash = createHash("sha256");
  const starts = new Numbers();
  const ends = new Numbers();
  const lines = new Numbers();
  let line = 0;
  let lineStart = 0;
  let isBlank = true;
  const endLine = (end: number): void => {
    line++;
    if (!isBlank) {
      starts.push(lineStart);
      ends.push(end);
      lines.push(line);
    }
    lineStart = end + 1;
    isBlank = true;
  };
  let offset = 0;
  for (const chunk of chunks) {
    hash.update(chunk);
    let at = 0;
    while (at < chunk.length) {
      const found = chunk.indexOf(newline, at);
      const end = found === -1 ? chunk.length : found;
      for (let i = at; isBlank && i < end; i++) isBlank = isSpace(chunk[i]!);
      if (found === -1) break;
      endLine(offset + found);
      at = found + 1;
    }
    offset += chunk.length;
  }
  if (offset > lineStart) endLine(offset);
  return { starts, ends, lines, contentHash: hash.digest("hex") };
}

const isSpace = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);

function openFile(file: string): number {
  try {
    return openSync(file, "r");
  } catch (error) {
    throw new UserError(`${file} can't be opened: ${messageOf(error)}`, {
      cause: error,
      exitCode: 2,
    });
  }
}

function* chunksOf(handle: number): Generator<Buffer> {
  const buffer = Buffer.allocUnsafe(1 << 20);
  for (let position = 0; ;) {
    const length = readSync(handle, buffer, 0, buffer.length, position);
    if (length === 0) return;
    position += length;
    yield buffer.subarray(0, length);
  }
}

function readAt(handle: number | undefined, position: number, length: number): Buffer {
  if (handle === undefined) throw new Error("a data file is read after it was closed");
  const bytes = Buffer.allocUnsafe(length);
  let done = 0;
  while (done < length) {
    const read = readSync(handle, bytes, done, length - done, position + done);
    if (read === 0) throw new UserError("a data file became shorter while it was read");
    done += read;
  }
  return bytes;
}

/** A growing list of numbers at 8 bytes each. */
class Numbers {
  #values = new Float64Array(1024);
  length = 0;

  push(value: number): void {
    if (this.length === this.#values.length) {
      const grown = new Float64Array(this.length * 2);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.length++] = value;
  }

  at(index: number): number {
    return this.#values[index]!;
  }
}
