// The header of a safetensors file: 8 bytes of length, then JSON. Parsed as strictly as by the reference implementation: tensors
// must cover the data section exactly, without holes or overlaps, and the file must end with the last tensor. The error for an
// invalid file names the broken rule.
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { messageOf, refuseLfsPointer, UserError, type ReadAt } from "../util/index.ts";
import { dtypeBytes, elementCount, isSafetensorsDtype, type SafetensorsDtype } from "./dtypes.ts";

export interface TensorInfo {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  /** Offset in the file (absolute). */
  readonly offset: number;
  /** Size in bytes. */
  readonly length: number;
}

export interface Header {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The reference implementation's limit. With a larger number, the file isn't a safetensors file. */
const maxHeaderBytes = 100_000_000;

/** Reads and checks the header of an open file. @throws UserError that names the file and the fault */
export function readHeader(fd: number, path: string, read: ReadAt = readerOf(fd)): Header {
  const broken = (what: string, cause?: unknown): UserError =>
    new UserError(
      `${path}: not a complete safetensors file: ${what}. Download or save it again.`,
      cause === undefined ? {} : { cause },
    );
  const { size: fileBytes, isFile } = statOf(fd);
  if (!isFile) throw broken("it is a folder");
  if (fileBytes < 8) throw broken(`expected at least 8 bytes, found ${fileBytes}`);
  const prefix = readExactly(read, 0, 8, broken);
  if (prefix.toString("latin1") === "version ")
    refuseLfsPointer(path, readExactly(read, 0, Math.min(fileBytes, 100), broken).toString("latin1"));
  const declared = prefix.readBigUInt64LE(0);
  if (declared > BigInt(maxHeaderBytes)) {
    throw broken(`its header claims ${declared} bytes; the format allows ${maxHeaderBytes}`);
  }
  const headerBytes = Number(declared);
  if (8 + headerBytes > fileBytes) {
    throw broken(`its header claims ${headerBytes} bytes, the file has ${fileBytes - 8} after its first 8`);
  }
  const text = readExactly(read, 8, headerBytes, broken).toString("utf8");
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw broken(`its header is not JSON (${messageOf(error)})`, error);
  }
  if (!isRecord(parsed)) throw broken("its header is not a JSON object");

  const dataStart = 8 + headerBytes;
  const metadata = parsed["__metadata__"] ?? {};
  if (!isRecord(metadata) || Object.values(metadata).some((value) => typeof value !== "string")) {
    throw broken("__metadata__ is not a map of text to text");
  }
  const tensors = new Map<string, TensorInfo>();
  for (const [name, entry] of Object.entries(parsed)) {
    if (name !== "__metadata__") tensors.set(name, checkEntry(name, entry, dataStart, broken));
  }
  checkCoverage(tensors, dataStart, fileBytes, broken);
  return { tensors, metadata: metadata as Record<string, string> };
}

function statOf(fd: number): { size: number; isFile: boolean } {
  const stat = fstatSync(fd);
  return { size: stat.size, isFile: !stat.isDirectory() };
}

/** Reads and checks the header of a file. @throws UserError */
export function readHeaderOf(path: string): Header {
  const fd = openForReading(path);
  try {
    return readHeader(fd, path);
  } finally {
    closeSync(fd);
  }
}

export function openForReading(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    throw new UserError(`${path}: cannot be read (${messageOf(error)})`, { cause: error });
  }
}

function checkEntry(
  name: string,
  entry: unknown,
  dataStart: number,
  broken: (what: string) => UserError,
): TensorInfo {
  if (!isRecord(entry)) throw broken(`tensor ${name} has no description`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string" || !isSafetensorsDtype(dtype)) {
    throw broken(
      `tensor ${name} has dtype ${String(dtype)}, expected one of ${Object.keys(dtypeBytes).join(", ")}`,
    );
  }
  if (!isSizes(shape)) throw broken(`tensor ${name} has shape ${JSON.stringify(shape)}`);
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    throw broken(`tensor ${name} has data_offsets ${JSON.stringify(offsets)}`);
  }
  const length = offsets[1]! - offsets[0]!;
  const expected = elementCount(shape) * dtypeBytes[dtype];
  if (length !== expected) {
    throw broken(
      `tensor ${name}: ${dtype} ${JSON.stringify(shape)} takes ${expected} bytes, its data_offsets span ${length}`,
    );
  }
  return { dtype, shape, offset: dataStart + offsets[0]!, length };
}

function checkCoverage(
  tensors: ReadonlyMap<string, TensorInfo>,
  dataStart: number,
  fileBytes: number,
  broken: (what: string) => UserError,
): void {
  let end = dataStart;
  const inOrder = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.length - b.length);
  for (const [name, info] of inOrder) {
    if (info.offset !== end) {
      const fault = info.offset < end ? "overlaps the tensor before it" : "leaves a hole before it";
      throw broken(`tensor ${name} ${fault} (starts at byte ${info.offset}, expected ${end})`);
    }
    end += info.length;
  }
  if (end > fileBytes) throw broken(`truncated: its tensors end at byte ${end}, the file at ${fileBytes}`);
  if (end < fileBytes)
    throw broken(`${fileBytes - end} bytes follow its last tensor, which ends at byte ${end}`);
}

function readExactly(
  read: ReadAt,
  position: number,
  length: number,
  broken: (what: string) => UserError,
): Buffer {
  const buffer = Buffer.alloc(length);
  if (read(buffer, position) < length) throw broken(`it ends inside its header`);
  return buffer;
}

/** A single read is limited to 2 GiB, so large tensors are read in chunks of this size. */
const maxReadBytes = 1 << 30;

export const readerOf =
  (fd: number): ReadAt =>
  (into, position) =>
    readFully(fd, into, position);

/** Reads until the buffer is full or the file ends. Returns the number of bytes read. */
export function readFully(fd: number, into: Uint8Array, position: number): number {
  let done = 0;
  while (done < into.length) {
    const bytesRead = readSync(fd, into, done, Math.min(into.length - done, maxReadBytes), position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && (size as number) >= 0);
}
