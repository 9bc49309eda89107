// Streams the rows of a Parquet file, row group by row group. Values are as JSON has them (values.ts): int64 is a number where
// that is exact, a double a float, a time its ISO text. Fields of structs that are null are left out: Arrow gives every struct
// of a column the fields of all of them, and nothing tells whose they are.
import { open, type FileHandle } from "node:fs/promises";
import zlib, { gunzipSync } from "node:zlib";
import {
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
  type AsyncBuffer,
  type Compressors,
  type ParquetParsers,
  type SchemaTree,
} from "hyparquet";
import type { RemoteFile } from "../../hub/index.ts";
import { messageOf, UserError } from "../../util/index.ts";
import { nameOf, type DataFile } from "./files.ts";
import type { SourceRow } from "../types.ts";
import { float, integer, parseJson } from "../values.ts";

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

const decoder = new TextDecoder();
const parsers: Partial<ParquetParsers> = {
  jsonFromBytes: (bytes: Uint8Array | undefined) => bytes && parseJson(decoder.decode(bytes)),
};

/** @throws UserError for a file that isn't Parquet, or is broken */
export async function* parquetRows(source: DataFile): AsyncGenerator<SourceRow> {
  const file = nameOf(source);
  const handle = typeof source === "string" ? await open(source).catch(unreadable(source)) : undefined;
  try {
    const buffer = typeof source === "string" ? await bufferOf(handle!) : remoteBuffer(source);
    const metadata = await parquetMetadataAsync(buffer).catch((error: unknown) => {
      throw new UserError(`${file}: not a Parquet file: ${messageOf(error)}`, { cause: error, exitCode: 2 });
    });
    const convert = converterOf(parquetSchema(metadata), 0);
    let rowStart = 0;
    for (const group of metadata.row_groups) {
      const rowEnd = rowStart + Number(group.num_rows);
      const options = { file: buffer, metadata, rowStart, rowEnd, compressors, parsers };
      const rows = await parquetReadObjects(options).catch((error: unknown) => {
        if (error instanceof UserError) throw error;
        throw new UserError(`${file}: rows ${rowStart + 1} to ${rowEnd}: ${messageOf(error)}`, {
          cause: error,
        });
      });
      for (const [i, row] of rows.entries()) yield { file, line: rowStart + i + 1, value: convert(row) };
      rowStart = rowEnd;
    }
  } finally {
    await handle?.close();
  }
}

const unreadable =
  (file: string) =>
  (error: unknown): never => {
    throw new UserError(`${file} can't be read: ${messageOf(error)}`, { cause: error, exitCode: 2 });
  };

async function bufferOf(handle: FileHandle): Promise<AsyncBuffer> {
  const { size } = await handle.stat();
  return { byteLength: size, slice: (start, end = size) => readRange(handle, start, end) };
}

const remoteBuffer = (file: RemoteFile): AsyncBuffer => ({
  byteLength: file.size,
  slice: (start, end = file.size) => file.read(start, end),
});

/** One read takes less than 2 GiB. */
async function readRange(handle: FileHandle, start: number, end: number): Promise<ArrayBuffer> {
  const bytes = new Uint8Array(end - start);
  for (let done = 0; done < bytes.length;) {
    const length = Math.min(bytes.length - done, 2 ** 30);
    const { bytesRead } = await handle.read(bytes, done, length, start + done);
    if (bytesRead === 0) throw new Error(`the file ends at byte ${start + done}`);
    done += bytesRead;
  }
  return bytes.buffer;
}

type Converter = (value: unknown) => unknown;

/** What makes JSON's values of a column's. Columns themselves keep their nulls; a struct leaves out fields that are null. */
function converterOf(column: SchemaTree, depth: number): Converter {
  const { element, children } = column;
  if (children.length === 0) return leaf(element.type, element.converted_type);
  const [child] = children;
  if (element.converted_type === "MAP" && child!.children.length === 2) {
    const value = converterOf(child!.children[1]!, depth + 1);
    const convert: Converter = (map) =>
      Array.isArray(map) ? map.map(convert) : convertFields(map, () => value, false);
    return convert;
  }
  if (element.converted_type === "LIST" && children.length === 1) {
    const item = converterOf(child!.children.length === 1 ? child!.children[0]! : child!, depth + 1);
    return item;
  }
  const fields = new Map(children.map((field) => [field.element.name, converterOf(field, depth + 1)]));
  const struct: Converter = (value) =>
    Array.isArray(value)
      ? value.map(struct)
      : convertFields(value, (name) => fields.get(name) ?? ((field) => field), depth > 0);
  return struct;
}

function convertFields(
  value: unknown,
  converterOfField: (name: string) => Converter,
  dropsNull: boolean,
): unknown {
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).flatMap(([name, field]) =>
    dropsNull && (field === null || field === undefined) ? [] : [[name, converterOfField(name)(field)]],
  );
  return Object.fromEntries(entries) as unknown;
}

/** Of a column without fields; its lists come as arrays, however deep. */
function leaf(type: string | undefined, converted: string | undefined): Converter {
  const isDouble = type === "DOUBLE" || type === "FLOAT" || converted === "DECIMAL";
  const convert: Converter = (value) => {
    if (Array.isArray(value)) return value.map(convert);
    if (value instanceof Date) return Number.isNaN(value.valueOf()) ? null : value.toISOString();
    if (typeof value === "bigint") return integer(value);
    // JSON has no NaN and no infinity; a missing value is what they mean in a table.
    if (typeof value === "number" && isDouble) return Number.isFinite(value) ? float(value) : null;
    if (value instanceof Uint8Array) return null; // bytes that are no text
    if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>, convert);
    return value;
  };
  return convert;
}
