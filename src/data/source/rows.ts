// Streams the rows of data files: JSONL, JSON, Parquet, CSV; text also packed with gzip or zstd. A line that can't be read comes
// out as a bad row with its reason; it never ends the stream. Not formats: a row here is whatever the file says.
import { isUtf8 } from "node:buffer";
import { pipeline, Readable } from "node:stream";
import { parse as csvStream, type CsvError } from "csv-parse";
import { messageOf, UserError } from "../../util/index.ts";
import { fileBytes, maxRowBytes, textStart } from "./bytes.ts";
import { fileKind, nameOf, unpackedName, type DataFile } from "./files.ts";
import { splitRows, type RowBytes } from "./json-rows.ts";
import { parquetRows } from "./parquet.ts";
import type { SourceRow } from "../types.ts";
import { parseJson } from "../values.ts";

/** A row, or a line of which only the reason is known why it is none. */
export type ReadRow = SourceRow | { readonly file: string; readonly line: number; readonly bad: string };

/**
 * Streams the rows of the files, in order. Every chunk of memory is bounded by a row or a Parquet row group. Numbers keep what
 * they are in Python: integers beyond 2^53 are bigints, floats with a whole value boxed numbers.
 * @param onRead gets the files' bytes, packed as they are; nothing of Parquet
 *
 * @example
 * ```ts no-run
 * import { readRows } from "torchforge/data";
 *
 * for await (const row of readRows(["rows.jsonl"])) console.log(row);
 * ```
 */
export async function* readRows(
  files: readonly DataFile[],
  onRead?: (bytes: Uint8Array) => void,
): AsyncGenerator<ReadRow> {
  for (const file of files) {
    const name = nameOf(file);
    const kind = fileKind(name);
    switch (kind) {
      case "jsonl":
      case "json":
        for await (const rows of splitRows(name, fileBytes(file, onRead), kind))
          for (const row of rows) yield parsed(name, row);
        break;
      case "csv":
        yield* csv(file, onRead);
        break;
      case "parquet":
        yield* parquetRows(file);
        break;
      case undefined:
        throw new UserError(`${name} is not a data file (JSONL, JSON, Parquet or CSV)`, { exitCode: 2 });
    }
  }
}

export const notUtf8 = "its text is not UTF-8 (Latin-1, Windows-1252 or the like); save the file as UTF-8";

const megabytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;

/** Why a row without bytes is bad. */
export const tooLong = `more than ${megabytes(maxRowBytes)} in one row, which is the limit`;

function parsed(file: string, { bytes, line }: RowBytes): ReadRow {
  if (bytes === undefined) return { file, line, bad: tooLong };
  return isUtf8(bytes) ? parsedText(file, line, bytes.toString()) : { file, line, bad: notUtf8 };
}

/** A row of its text. */
export function parsedText(file: string, line: number, text: string): ReadRow {
  try {
    const value = parseJson(text);
    // The order of columns is no matter.
    return { file, line, value: value instanceof Map ? (Object.fromEntries(value) as unknown) : value };
  } catch (error) {
    return { file, line, bad: `not JSON: ${messageOf(error)}` };
  }
}

async function* csv(source: DataFile, onRead?: (bytes: Uint8Array) => void): AsyncGenerator<ReadRow> {
  const file = nameOf(source);
  const skipped: ReadRow[] = [];
  const parser = csvStream({
    columns: true,
    info: true,
    skip_empty_lines: true,
    delimiter: unpackedName(file).endsWith(".tsv") ? "\t" : ",",
    record_delimiter: ["\r\n", "\n", "\r"], // in any mixture; by itself it takes the first that it meets
    max_record_size: maxRowBytes,
    skip_records_with_error: true,
    on_skip: (error: CsvError | undefined) => {
      if (error?.code === "CSV_MAX_RECORD_SIZE") parser.destroy(endless(file, error));
      const line = typeof error?.["lines"] === "number" ? error["lines"] : 0;
      skipped.push({ file, line, bad: error?.message ?? "not CSV" });
    },
  });
  // What couldn't be decoded becomes U+FFFD; where all could, that is what the file says.
  let isBroken = false;
  async function* text(): AsyncGenerator<string> {
    const strict = new TextDecoder("utf-8", { fatal: true });
    const lenient = new TextDecoder();
    let isFirst = true;
    for await (const chunk of fileBytes(source, onRead)) {
      const bytes = isFirst ? chunk.subarray(textStart(file, chunk)) : chunk;
      isFirst = false;
      if (!isBroken)
        try {
          strict.decode(bytes, { stream: true });
        } catch {
          isBroken = true;
        }
      yield lenient.decode(bytes, { stream: true });
    }
  }
  for await (const entry of pipeline(Readable.from(text()), parser, () => {})) {
    const { record, info } = entry as { record: unknown; info: { lines: number } };
    // The parser runs ahead of this loop: only what was skipped before this record comes before it.
    while (skipped[0] !== undefined && skipped[0].line < info.lines) yield skipped.shift()!;
    const isBad = isBroken && JSON.stringify(record).includes("\ufffd");
    yield isBad ? { file, line: info.lines, bad: notUtf8 } : { file, line: info.lines, value: record };
  }
  yield* skipped;
}

/** Behind such a record nothing can be told any more: its quote may stand open. */
const endless = (file: string, error: CsvError): UserError =>
  new UserError(`${file}: ${tooLong}. Perhaps a quote isn't closed before line ${String(error["lines"])}`, {
    cause: error,
    exitCode: 2,
  });
