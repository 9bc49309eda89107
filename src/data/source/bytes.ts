// The bytes of a data file from its beginning, unpacked where it is gzip or zstd. Not rows: what the bytes say is found in
// json-rows.ts and rows.ts. What can't be text is refused here, by its first bytes.
import { createReadStream } from "node:fs";
import { pipeline, Readable, type Transform } from "node:stream";
import zlib, { createGunzip } from "node:zlib";
import { messageOf, UserError } from "../../util/index.ts";
import { nameOf, packingOf, type DataFile } from "./files.ts";

/** A row of more bytes is bad: its tokens take some ninety times its size in memory while they are found. */
export const maxRowBytes = 16 * 2 ** 20;

const chunkBytes = 1 << 20;

/**
 * The file's bytes in chunks, unpacked. Ending the loop early closes the file.
 * @param onRead gets the bytes as they lie on the disk
 * @throws UserError for a file that can't be read, or whose archive is broken
 */
export async function* fileBytes(source: DataFile, onRead?: (bytes: Buffer) => void): AsyncGenerator<Buffer> {
  const file = nameOf(source);
  const raw =
    typeof source === "string"
      ? createReadStream(source, { highWaterMark: chunkBytes })
      : Readable.from(source.chunks());
  if (onRead !== undefined) raw.on("data", (chunk) => onRead(chunk as Buffer));
  const packing = packingOf(file);
  const unpack = packing === undefined ? undefined : unpacker(file, packing);
  try {
    // The callback is for pipeline, which wants one: errors reach the reader of the last stream.
    for await (const chunk of unpack === undefined ? raw : pipeline(raw, unpack, () => {}))
      yield chunk as Buffer;
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (/^(?:Z_|ZSTD_|ERR_ZLIB|ERR_ZSTD|ERR_STREAM_PREMATURE)/i.test(code))
      throw new UserError(
        `${file}: damaged, or not ${packing ?? "whole"} (${messageOf(error)}). Copy or download it again, ` +
          "or give it its right ending if it isn't packed",
        { cause: error, exitCode: 2 },
      );
    if (error instanceof UserError || code === "") throw error;
    throw new UserError(`${file} can't be read: ${messageOf(error)}`, { cause: error, exitCode: 2 });
  } finally {
    raw.destroy();
    unpack?.destroy();
  }
}

function unpacker(file: string, packing: "gzip" | "zstd"): Transform {
  if (packing === "gzip") return createGunzip({ chunkSize: chunkBytes });
  const create = (zlib as { createZstdDecompress?: (options: object) => Transform }).createZstdDecompress;
  if (create === undefined)
    throw new UserError(
      `${file}: files packed with zstd need Node 22.15 or newer; unpack it, or update Node`,
    );
  return create({ chunkSize: chunkBytes });
}

// First bytes of what isn't UTF-8 text, and what it is. The longer ones come first where one begins with another.
const notText: readonly (readonly [readonly number[], string])[] = [
  [[0xff, 0xfe, 0, 0], "its text is UTF-32 (little endian)"],
  [[0, 0, 0xfe, 0xff], "its text is UTF-32 (big endian)"],
  [[0xff, 0xfe], "its text is UTF-16 (little endian)"],
  [[0xfe, 0xff], "its text is UTF-16 (big endian)"],
  [[0x1f, 0x8b], "it is packed with gzip, which its name doesn't say"],
  [[0x28, 0xb5, 0x2f, 0xfd], "it is packed with zstd, which its name doesn't say"],
  [[0x50, 0x4b, 3, 4], "it is a zip archive"],
  [[0x42, 0x5a, 0x68], "it is packed with bzip2"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], "it is packed with xz"],
  [[0x50, 0x41, 0x52, 0x31], "it is Parquet, which its name doesn't say"],
];

/**
 * Where the text of a file begins: behind a byte order mark.
 * @throws UserError for first bytes that are no UTF-8 text, naming what they are
 */
export function textStart(file: string, bytes: Buffer): number {
  const is = (start: readonly number[]): boolean => start.every((byte, i) => bytes[i] === byte);
  if (is([0xef, 0xbb, 0xbf])) return 3;
  const [a, b, c, d] = bytes;
  const found =
    notText.find(([start]) => is(start))?.[1] ??
    (a !== 0 && b === 0 && c !== 0 && d === 0
      ? "its text is UTF-16 (little endian)"
      : a === 0 && b !== 0 && c === 0 && d !== 0
        ? "its text is UTF-16 (big endian)"
        : bytes.subarray(0, 4).includes(0)
          ? "it is no text (it has zero bytes)"
          : undefined);
  if (found === undefined) return 0;
  const next = found.includes("UTF")
    ? "Save the file as UTF-8"
    : found.includes("name")
      ? "Give it that ending"
      : "Expected UTF-8 text; unpack it, or name another file";
  throw new UserError(`${file}: ${found}. ${next}`, { exitCode: 2 });
}
