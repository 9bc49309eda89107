// The rows of a data set by number, in any order, so that a shuffle is of all rows and nothing waits for the last one.
// JSON stays on disk: only where each row begins is known. Rows of the other kinds, and of packed files, are kept as JSON.
import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { fileBytes, maxRowBytes } from "./bytes.ts";
import { fileKind, packingOf } from "./files.ts";
import { splitRows } from "./json-rows.ts";
import { OpenFile } from "./open-file.ts";
import { notUtf8, tooLong, type ReadRow } from "./bad-rows.ts";
import { parsedText, readRows } from "./rows.ts";
import { Spool } from "./spool.ts";
import type { Example } from "../types.ts";
import { pythonJson } from "../values.ts";

/** Rows by number. A row comes as its text: parsing it is the tokenizing thread's work, and done once. */
export interface RowStore {
  readonly length: number;
  /** @throws UserError when the row's file was rewritten since it was opened */
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
  return "text" in row ? parsedText(row.file, row.line, row.text) : row;
}

/** Opens data files as one numbered list of rows, in the files' order. */
export async function openRows(files: readonly string[]): Promise<RowStore> {
  const stores: RowStore[] = [];
  try {
    for (const file of files) stores.push(await openFile(file));
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

/** What rows are read from: a file of the user's, or what was made of it. */
interface Bytes {
  read(start: number, end: number): Buffer;
  close(): void;
}

/** Opens a file: rows of plain JSON stay where they are, those of other files are kept as JSON. */
async function openFile(file: string): Promise<RowStore> {
  const kind = fileKind(file);
  const original = new OpenFile(file);
  const spool = new Spool();
  const isInPlace = (kind === "jsonl" || kind === "json") && packingOf(file) === undefined;
  const source: Bytes = isInPlace ? original : spool;
  try {
    const hash = createHash("sha256");
    const onRead = (bytes: Uint8Array): unknown => hash.update(bytes);
    const index = new RowIndex();
    if (kind === "jsonl" || kind === "json") {
      for await (const rows of splitRows(file, fileBytes(file, onRead), kind))
        for (const { bytes, start, end, line } of rows) {
          if (bytes === undefined) index.addBad(line, tooLong);
          else if (isInPlace) index.add(line, start, end);
          else index.add(line, ...spool.add(bytes));
        }
    } else {
      for await (const row of readRows([file], onRead)) {
        const text = "bad" in row ? undefined : Buffer.from(pythonJson(row.value));
        if (text === undefined) index.addBad(row.line, (row as { bad: string }).bad);
        else if (text.length > maxRowBytes) index.addBad(row.line, tooLong);
        else index.add(row.line, ...spool.add(text));
      }
      if (kind === "parquet") for await (const bytes of fileBytes(file)) hash.update(bytes);
    }
    spool.finish();
    original.check();
    if (!isInPlace) original.close();
    return storeOf(file, source, index, hash.digest("hex"));
  } catch (error) {
    original.close();
    spool.close();
    throw error;
  }
}
function storeOf(file: string, source: Bytes, index: RowIndex, contentHash: string): RowStore {
  return {
    length: index.length,
    contentHash,
    get(row) {
      const { line, start, end, bad } = index.at(row);
      if (bad !== undefined) return { file, line, bad };
      const bytes = source.read(start, end);
      return isUtf8(bytes) ? { file, line, text: bytes.toString() } : { file, line, bad: notUtf8 };
    },
    close: () => source.close(),
  };
}

/** Where rows lie, or why they are none. */
class RowIndex {
  readonly #starts = new Numbers();
  readonly #ends = new Numbers();
  readonly #lines = new Numbers();
  readonly #bad = new Map<number, string>();

  get length(): number {
    return this.#lines.length;
  }

  add(line: number, start: number, end: number): void {
    this.#starts.push(start);
    this.#ends.push(end);
    this.#lines.push(line);
  }

  addBad(line: number, reason: string): void {
    this.#bad.set(this.length, reason);
    this.add(line, 0, 0);
  }

  at(row: number): { line: number; start: number; end: number; bad: string | undefined } {
    return {
      line: this.#lines.at(row),
      start: this.#starts.at(row),
      end: this.#ends.at(row),
      bad: this.#bad.get(row),
    };
  }
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
