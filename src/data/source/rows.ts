// Streams the rows of data files: JSONL, JSON, Parquet, CSV; text also packed with gzip or zstd. A line that can't be read comes
// out as a bad row with its reason; it never ends the stream. Not formats: a row here is whatever the file says. Libraries of formats are loaded where a file has one.
import { isUtf8 } from "node:buffer";
import { messageOf, UserError } from "../../util/index.ts";
import { notUtf8, tooLong, type ReadRow } from "./bad-rows.ts";
import { fileBytes } from "./bytes.ts";
import { fileKind, nameOf, type DataFile } from "./files.ts";
import { splitRows, type RowBytes } from "./json-rows.ts";
import { parseJson } from "../values.ts";

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
        yield* (await import("./csv.ts")).csvRows(file, onRead);
        break;
      case "parquet":
        yield* (await import("./parquet.ts")).parquetRows(file);
        break;
      case undefined:
        throw new UserError(`${name} is not a data file (JSONL, JSON, Parquet or CSV)`, { exitCode: 2 });
    }
  }
}

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
