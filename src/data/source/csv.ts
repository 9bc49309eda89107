// Streams the rows of a CSV or TSV file.
import { pipeline, Readable } from "node:stream";
import { parse as csvStream, type CsvError } from "csv-parse";
import { UserError } from "../../util/index.ts";
import { notUtf8, tooLong, type ReadRow } from "./bad-rows.ts";
import { fileBytes, maxRowBytes, textStart } from "./bytes.ts";
import { nameOf, unpackedName, type DataFile } from "./files.ts";

/** @throws UserError where a record has no end */
export async function* csvRows(
  source: DataFile,
  onRead?: (bytes: Uint8Array) => void,
): AsyncGenerator<ReadRow> {
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
