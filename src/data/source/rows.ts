// Streams the rows of data files: JSONL, JSON, Parquet, CSV, also gzipped. A line that can't be read comes out as a
// bad row with its reason; it never ends the stream. Not formats: a row here is whatever the file says.
import { createReadStream } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import { pipeline, type Readable } from "node:stream";
import zlib, { createGunzip, gunzipSync } from "node:zlib";
import { parse as csvStream, type CsvError } from "csv-parse";
import { parquetMetadataAsync, parquetReadObjects, type AsyncBuffer, type Compressors } from "hyparquet";
import { messageOf, UserError } from "../../util/index.ts";
import { fileKind } from "./files.ts";
import type { SourceRow } from "../types.ts";

/** A row, or a line of which only the reason is known why it is none. */
export type ReadRow = SourceRow | { readonly file: string; readonly line: number; readonly bad: string };

/**
 * Streams the rows of the files, in order. Every chunk of memory is bounded by a line or a Parquet row group.
 *
 * @example
 * ```ts no-run
 * import { readRows } from "torchforge/data";
 *
 * for await (const row of readRows(["rows.jsonl"])) console.log(row);
 * ```
 */
export async function* readRows(files: readonly string[]): AsyncGenerator<ReadRow> {
  for (const file of files) {
    switch (fileKind(file)) {
      case "jsonl":
        yield* jsonLines(file);
        break;
      case "json":
        yield* json(file);
        break;
      case "csv":
        yield* csv(file);
        break;
      case "parquet":
        yield* parquet(file);
        break;
      case undefined:
        throw new UserError(`${file} is not a data file (JSONL, JSON, Parquet or CSV)`, { exitCode: 2 });
    }
  }
}

/** A file's text, unzipped. Destroying the stream closes the file, at its end or before. */
function textStream(file: string): Readable {
  const raw = createReadStream(file, { highWaterMark: 1 << 18 });
  return file.toLowerCase().endsWith(".gz") ? pipeline(raw, createGunzip(), ignore) : raw;
}

/** For `pipeline`, which wants a callback: errors reach the reader of its last stream. */
const ignore = (): void => {};

async function* jsonLines(file: string): AsyncGenerator<ReadRow> {
  const stream = textStream(file);
  let line = 0;
  try {
    for await (const text of createInterface({ input: stream, crlfDelay: Infinity })) {
      line++;
      const content = line === 1 && text.startsWith("\ufeff") ? text.slice(1) : text;
      if (content.trim()) yield parsed(file, line, content);
    }
  } finally {
    stream.destroy(); // readline leaves it open when its reader stops early
  }
}

function parsed(file: string, line: number, text: string): ReadRow {
  try {
    return { file, line, value: JSON.parse(text) as unknown };
  } catch (error) {
    return { file, line, bad: `not JSON: ${messageOf(error)}` };
  }
}

async function* json(file: string): AsyncGenerator<ReadRow> {
  const bytes = await readFile(file);
  const text = (file.toLowerCase().endsWith(".gz") ? gunzipSync(bytes) : bytes)
    .toString()
    .replace(/^\ufeff/, "");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    // Many hub data sets name JSON lines ".json".
    const lines = text.split("\n");
    const first = lines.find((l) => l.trim());
    if (first !== undefined && "value" in parsed(file, 1, first)) {
      for (const [i, content] of lines.entries()) if (content.trim()) yield parsed(file, i + 1, content);
      return;
    }
    throw new UserError(`${file}: not JSON: ${messageOf(error)}`, { cause: error });
  }
  const rows = rowArray(value);
  if (rows === undefined)
    throw new UserError(
      `${file}: expected an array of rows, or an object with one array in it (such as {"data": [...]})`,
    );
  for (const [i, row] of rows.entries()) yield { file, line: i + 1, value: row };
}

function rowArray(value: unknown): unknown[] | undefined {
  if (Array.isArray(value)) return value;
  if (typeof value !== "object" || value === null) return undefined;
  const arrays = Object.values(value).filter(Array.isArray);
  return arrays.length === 1 ? arrays[0] : undefined;
}

async function* csv(file: string): AsyncGenerator<ReadRow> {
  const skipped: ReadRow[] = [];
  const parser = csvStream({
    columns: true,
    bom: true,
    info: true,
    skip_empty_lines: true,
    delimiter: /\.tsv(\.gz)?$/i.test(file) ? "\t" : ",",
    skip_records_with_error: true,
    on_skip: (error: CsvError | undefined) => {
      const line = typeof error?.["lines"] === "number" ? error["lines"] : 0;
      skipped.push({ file, line, bad: error?.message ?? "not CSV" });
    },
  });
  for await (const entry of pipeline(textStream(file), parser, ignore)) {
    const { record, info } = entry as { record: unknown; info: { lines: number } };
    // The parser runs ahead of this loop: only what was skipped before this record comes before it.
    while (skipped[0] !== undefined && skipped[0].line < info.lines) yield skipped.shift()!;
    yield { file, line: info.lines, value: record };
  }
  yield* skipped;
}

type Decompress = (input: Uint8Array) => Uint8Array;

// hyparquet itself brings snappy only; Node brings the others.
const compressors: Compressors = {
  GZIP: (input) => gunzipSync(input),
  BROTLI: (input) => zlib.brotliDecompressSync(input),
  ZSTD: (input) => {
    const zstd = (zlib as { zstdDecompressSync?: Decompress }).zstdDecompressSync;
    if (zstd === undefined)
      throw new UserError(
        "Parquet compressed with zstd needs Node 22.15 or newer; rewrite it with snappy or update Node",
      );
    return zstd(input);
  },
};

async function* parquet(file: string): AsyncGenerator<ReadRow> {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const buffer: AsyncBuffer = {
      byteLength: size,
      slice: async (start, end = size) => {
        const bytes = new Uint8Array(end - start);
        await handle.read(bytes, 0, bytes.length, start);
        return bytes.buffer;
      },
    };
    const metadata = await parquetMetadataAsync(buffer).catch((error: unknown) => {
      throw new UserError(`${file}: not a Parquet file: ${messageOf(error)}`, { cause: error });
    });
    let rowStart = 0;
    for (const group of metadata.row_groups) {
      const rowEnd = rowStart + Number(group.num_rows);
      const rows = await parquetReadObjects({ file: buffer, metadata, rowStart, rowEnd, compressors }).catch(
        (error: unknown) => {
          if (error instanceof UserError) throw error;
          throw new UserError(`${basename(file)}: rows ${rowStart + 1} to ${rowEnd}: ${messageOf(error)}`, {
            cause: error,
          });
        },
      );
      for (const [i, row] of rows.entries()) yield { file, line: rowStart + i + 1, value: row };
      rowStart = rowEnd;
    }
  } finally {
    await handle.close();
  }
}
