// Tokenized rows of one data set, in memory and, between runs, in one file. The file's name is the hash of the data,
// the tokenizer, the template and the settings, so a stale file is never found. A broken file is as good as none.
import { createHash } from "node:crypto";
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import {
  columnArrays,
  columnEntries,
  mapColumns,
  sliceColumns,
  type Column,
  type RowColumns,
} from "../columns.ts";
import type { PreparedRow } from "./prepare.ts";
import { makeFolder } from "../../util/index.ts";

interface Header {
  /** Reasons of the rows that can't be used. */
  readonly bad: Readonly<Record<string, string>>;
  /** What of rows isn't in their tokens. */
  readonly leftOut?: Readonly<Record<string, readonly string[]>>;
  /** Types of the columns, in their order. Files of before this was written have `firstColumns`. */
  readonly columns?: Record<keyof RowColumns, keyof typeof columnArrays>;
}
const firstColumns = { tokens: "Int32Array", lossMask: "Uint8Array" } as const;

const magic = "torchforge tokens 1\n";
// More than this many tokens are not kept in memory past their use: 5 bytes each, with tokens and loss mask.
const maxTokens = 400_000_000;

/** Prepared rows by number; partly filled while tokenization runs. */
export class TokenCache {
  readonly #rows: (PreparedRow | undefined)[];
  readonly #file: string | undefined;
  #tokens = 0;
  #filled = 0;
  #unsaved = 0;

  /** @param folder where files lie; `undefined` keeps rows in memory only. */
  constructor(options: { key: string; rows: number; folder: string | undefined }) {
    this.#rows = Array.from({ length: options.rows });
    this.#file = options.folder === undefined ? undefined : join(options.folder, `${options.key}.tokens`);
    if (this.#file === undefined) return;
    this.#loadIfReadable(this.#file);
    this.#unsaved = 0;
  }

  /** Rows that need no tokenization any more. */
  get filled(): number {
    return this.#filled;
  }

  get(row: number): PreparedRow | undefined {
    return this.#rows[row];
  }

  set(row: number, prepared: PreparedRow): void {
    if (this.#rows[row] !== undefined || this.#tokens > maxTokens) return;
    this.#rows[row] = prepared;
    this.#tokens += "columns" in prepared ? prepared.columns.tokens.length : 0;
    this.#filled++;
    this.#unsaved++;
  }

  /** Writes the rows that are there, if there are new ones. Never fails a run: a cache that can't be written is none. */
  save(): void {
    if (this.#file === undefined || this.#unsaved === 0) return;
    const folder = dirname(this.#file);
    const temporary = `${this.#file}.${process.pid}`;
    try {
      makeFolder(folder);
      this.#loadIfReadable(this.#file); // other ranks write their rows to the same file
      writeFileSync(temporary, this.#encode());
      renameSync(temporary, this.#file);
      this.#unsaved = 0;
      removeOldest(folder);
    } catch {
      rmSync(temporary, { force: true });
    }
  }

  /** magic, sha256 of what follows, then header length, header, lengths of the rows (-1: none), column after column. */
  #encode(): Buffer {
    const lengths = new Int32Array(this.#rows.length).fill(-1);
    const bad: Record<number, string> = {};
    const leftOut: Record<number, readonly string[]> = {};
    const columns: Record<string, Column[]> = {};
    for (const [i, row] of this.#rows.entries()) {
      if (row === undefined) continue;
      if ("bad" in row) bad[i] = row.bad;
      else {
        lengths[i] = row.columns.tokens.length;
        if (row.leftOut !== undefined) leftOut[i] = row.leftOut;
        for (const [name, values] of columnEntries(row.columns)) (columns[name] ??= []).push(values);
      }
    }
    const types = mapColumns(columns, ([first]) => first!.constructor.name);
    const header = Buffer.from(
      JSON.stringify({ bad, ...(Object.keys(leftOut).length > 0 && { leftOut }), columns: types }),
    );
    const headerLength = Buffer.alloc(4);
    headerLength.writeUInt32LE(header.length);
    const values = Object.values(columns).flat();
    const body = Buffer.concat([headerLength, header, ...[lengths, ...values].map(bytesOf)]);
    return Buffer.concat([Buffer.from(magic), createHash("sha256").update(body).digest(), body]);
  }

  /** Another process may remove the file meanwhile, and one of another user's can't be touched. */
  #loadIfReadable(file: string): void {
    try {
      this.#load(file);
    } catch {
      // Rows that aren't there are tokenized.
    }
  }

  #load(file: string): void {
    if (!existsSync(file)) return;
    const bytes = readFileSync(file);
    const body = bytes.subarray(magic.length + 32);
    const digest = bytes.subarray(magic.length, magic.length + 32);
    const isWhole =
      bytes.subarray(0, magic.length).toString() === magic &&
      createHash("sha256").update(body).digest().equals(digest);
    if (!isWhole) {
      rmSync(file, { force: true });
      return;
    }
    const headerEnd = 4 + body.readUInt32LE(0);
    const header = JSON.parse(body.subarray(4, headerEnd).toString()) as Header;
    const { bad, leftOut = {}, columns = firstColumns } = header;
    const lengths = new Int32Array(copyOf(body, headerEnd, this.#rows.length * 4));
    const total = lengths.reduce((sum, length) => sum + Math.max(length, 0), 0);
    let end = headerEnd + lengths.byteLength;
    const all: unknown = mapColumns(columns, (type) => {
      const bytes = total * columnArrays[type].BYTES_PER_ELEMENT;
      end += bytes;
      return new columnArrays[type](copyOf(body, end - bytes, bytes));
    });
    let at = 0;
    for (const [i, length] of lengths.entries()) {
      if (length >= 0) {
        const columns = sliceColumns(all as RowColumns, at, at + length);
        this.set(i, leftOut[i] === undefined ? { columns } : { columns, leftOut: leftOut[i] });
      } else if (bad[i] !== undefined) this.set(i, { bad: bad[i] });
      at += Math.max(length, 0);
    }
    utimesSync(file, new Date(), new Date()); // used now: removed last
  }
}

const maxFiles = 32;

/** Keeps the files that were used last: every change of data or settings leaves one behind. */
function removeOldest(folder: string): void {
  const files = readdirSync(folder)
    .filter((name) => name.endsWith(".tokens"))
    .map((name) => join(folder, name))
    .map((path) => ({ path, used: statSync(path).mtimeMs }))
    .sort((a, b) => b.used - a.used);
  for (const { path } of files.slice(maxFiles)) rmSync(path, { force: true });
}

const bytesOf = (array: Column): Buffer => Buffer.from(array.buffer, array.byteOffset, array.byteLength);

// A copy is aligned; a view into the file's buffer need not be.
function copyOf(from: Buffer, start: number, length: number): ArrayBuffer {
  const copy = new ArrayBuffer(length);
  new Uint8Array(copy).set(from.subarray(start, start + length));
  return copy;
}
