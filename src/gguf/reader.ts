// Reads the structure of a GGUF file (versions 2 and 3, little-endian): metadata and the tensors' offsets. Tensor bytes are read by
// range. Interprets neither models nor quantized blocks. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { messageOf, UserError } from "../util/index.ts";
import { ggmlTypes, type GgmlTypeName } from "./types.ts";

/** Integers beyond 2^53 are bigints, all others numbers. */
export type GgufValue = string | number | bigint | boolean | GgufValue[];

export interface GgufTensor {
  readonly name: string;
  /** Rows first, as in PyTorch (GGUF's own order is the reverse). */
  readonly shape: readonly number[];
  readonly type: GgmlTypeName;
  /** Offset in the file (absolute). */
  readonly offset: number;
  readonly bytes: number;
  readonly elements: number;
}

export class GgufFile implements Disposable {
  readonly path: string;
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: readonly GgufTensor[];
  #fd: number | undefined;

  constructor(path: string, fd: number, parsed: GgufContents) {
    this.path = path;
    this.#fd = fd;
    this.version = parsed.version;
    this.metadata = parsed.metadata;
    this.tensors = parsed.tensors;
  }

  /** Fills `into` with the tensor's bytes, starting at `byteOffset`. */
  readInto(tensor: GgufTensor, into: Uint8Array, byteOffset: number): void {
    if (this.#fd === undefined) throw new Error(`${this.path}: read after close`);
    for (let done = 0; done < into.length;) {
      const got = readSync(
        this.#fd,
        into,
        done,
        Math.min(into.length - done, 1 << 30),
        tensor.offset + byteOffset + done,
      );
      if (got === 0) throw broken(this.path, `truncated inside tensor ${tensor.name}`);
      done += got;
    }
  }

  #get(key: string): GgufValue {
    const value = this.metadata.get(key);
    if (value === undefined)
      throw new UserError(`${this.path}: expected the metadata key ${key}; it has none`);
    return value;
  }

  number(key: string): number {
    const value = this.#get(key);
    if (typeof value !== "number") throw this.#mistyped(key, "a number", value);
    return value;
  }

  text(key: string): string {
    const value = this.#get(key);
    if (typeof value !== "string") throw this.#mistyped(key, "text", value);
    return value;
  }

  texts(key: string): string[] {
    const value = this.#get(key);
    if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) {
      throw this.#mistyped(key, "a list of texts", value);
    }
    return value;
  }

  numbers(key: string): number[] {
    const value = this.#get(key);
    if (!Array.isArray(value) || !value.every((item) => typeof item === "number")) {
      throw this.#mistyped(key, "a list of numbers", value);
    }
    return value;
  }

  #mistyped(key: string, expected: string, value: GgufValue): UserError {
    const found = Array.isArray(value) ? "a list" : JSON.stringify(String(value).slice(0, 40));
    return new UserError(`${this.path}: expected the metadata key ${key} to be ${expected}, found ${found}`);
  }

  close(): void {
    if (this.#fd === undefined) return;
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

interface GgufContents {
  version: number;
  metadata: Map<string, GgufValue>;
  tensors: GgufTensor[];
}

/** Opens a file and reads its metadata. @throws UserError that names the file and the fault */
export function openGguf(path: string): GgufFile {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    throw new UserError(`${path}: cannot be read (${messageOf(error)})`, { cause: error });
  }
  try {
    return new GgufFile(path, fd, parse(path, fd));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function broken(path: string, what: string): UserError {
  return new UserError(`${path}: not a complete GGUF file: ${what}. Download it again.`);
}

/** Reads the file forward in windows, so that a header of any size needs only one window of memory. */
class Cursor {
  readonly path: string;
  readonly fileBytes: number;
  readonly #fd: number;
  #window = Buffer.alloc(0);
  #windowStart = 0;
  #position = 0;

  constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
    this.fileBytes = fstatSync(fd).size;
  }

  get position(): number {
    return this.#position;
  }

  take(length: number): Buffer {
    if (this.#position + length > this.fileBytes) throw broken(this.path, "it ends inside its header");
    let offset = this.#position - this.#windowStart;
    if (offset + length > this.#window.length) {
      const size = Math.min(Math.max(length, 1 << 20), this.fileBytes - this.#position);
      const next = Buffer.alloc(size);
      for (let done = 0; done < size;) {
        const got = readSync(this.#fd, next, done, size - done, this.#position + done);
        if (got === 0) throw broken(this.path, "it ends inside its header");
        done += got;
      }
      this.#window = next;
      this.#windowStart = this.#position;
      offset = 0;
    }
    this.#position += length;
    return this.#window.subarray(offset, offset + length);
  }

  u32(): number {
    return this.take(4).readUInt32LE();
  }

  /** A count or length. It is limited by the file's size, so that a damaged file can't exhaust the memory. */
  size(what: string): number {
    const value = this.take(8).readBigUInt64LE();
    if (value > BigInt(this.fileBytes)) throw broken(this.path, `${what} is ${value}`);
    return Number(value);
  }

  text(): string {
    return this.take(this.size("a text's length")).toString("utf8");
  }
}

const arrayType = 9;

function toNumberIfSafe(value: bigint): number | bigint {
  const small = Number(value);
  return Number.isSafeInteger(small) ? small : value;
}

function readScalar(cursor: Cursor, type: number): GgufValue {
  switch (type) {
    case 0:
      return cursor.take(1).readUInt8();
    case 1:
      return cursor.take(1).readInt8();
    case 2:
      return cursor.take(2).readUInt16LE();
    case 3:
      return cursor.take(2).readInt16LE();
    case 4:
      return cursor.take(4).readUInt32LE();
    case 5:
      return cursor.take(4).readInt32LE();
    case 6:
      return cursor.take(4).readFloatLE();
    case 7:
      return cursor.take(1).readUInt8() !== 0;
    case 8:
      return cursor.text();
    case 10:
      return toNumberIfSafe(cursor.take(8).readBigUInt64LE());
    case 11:
      return toNumberIfSafe(cursor.take(8).readBigInt64LE());
    case 12:
      return cursor.take(8).readDoubleLE();
    default:
      throw broken(cursor.path, `metadata of unknown type ${type}`);
  }
}

function readValue(cursor: Cursor, type: number, depth = 0): GgufValue {
  if (type !== arrayType) return readScalar(cursor, type);
  if (depth > 4) throw broken(cursor.path, "lists nested too deeply");
  const itemType = cursor.u32();
  const length = cursor.size("a list's length");
  const items: GgufValue[] = [];
  for (let i = 0; i < length; i++) items.push(readValue(cursor, itemType, depth + 1));
  return items;
}

function parse(path: string, fd: number): GgufContents {
  const cursor = new Cursor(path, fd);
  if (cursor.fileBytes < 24) throw broken(path, `expected at least 24 bytes, found ${cursor.fileBytes}`);
  const magic = cursor.take(4).toString("latin1");
  if (magic !== "GGUF") {
    throw new UserError(
      `${path}: expected a GGUF file (it would begin with "GGUF"), found ${JSON.stringify(magic)}`,
    );
  }
  const version = cursor.u32();
  if (version !== 2 && version !== 3) {
    const reason = (version & 0xffff) === 0 ? "a big-endian file" : `version ${version}`;
    throw new UserError(`${path}: expected GGUF version 2 or 3 (little-endian), found ${reason}`);
  }
  const tensorCount = cursor.size("the number of tensors");
  const metadataCount = cursor.size("the number of metadata keys");
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < metadataCount; i++) {
    const key = cursor.text();
    if (metadata.has(key)) throw broken(path, `it has the metadata key ${key} twice`);
    metadata.set(key, readValue(cursor, cursor.u32()));
  }
  const found: Array<Omit<GgufTensor, "offset"> & { relative: number }> = [];
  for (let i = 0; i < tensorCount; i++) found.push(readTensorInfo(cursor));

  const names = new Set<string>();
  for (const { name } of found) {
    if (names.has(name)) throw broken(path, `it has two tensors named ${name}`);
    names.add(name);
  }
  const alignment = metadata.get("general.alignment") ?? 32;
  if (
    typeof alignment !== "number" ||
    !Number.isSafeInteger(alignment) ||
    alignment < 1 ||
    alignment % 8 !== 0
  ) {
    throw broken(path, `general.alignment is ${String(alignment)}, expected a multiple of 8`);
  }
  const dataStart = Math.ceil(cursor.position / alignment) * alignment;
  const tensors = found.map(({ relative, ...rest }) => ({ ...rest, offset: dataStart + relative }));
  for (const tensor of tensors) {
    if (tensor.offset + tensor.bytes > cursor.fileBytes) {
      throw broken(
        path,
        `truncated: tensor ${tensor.name} ends at byte ${tensor.offset + tensor.bytes}, the file at ${cursor.fileBytes}`,
      );
    }
  }
  return { version, metadata, tensors };
}

function readTensorInfo(cursor: Cursor): Omit<GgufTensor, "offset"> & { relative: number } {
  const name = cursor.text();
  const dims = cursor.u32();
  if (dims > 4) throw broken(cursor.path, `tensor ${name} has ${dims} dimensions`);
  const shape: number[] = [];
  for (let d = 0; d < dims; d++) shape.unshift(cursor.size(`a dimension of ${name}`));
  const id = cursor.u32();
  const relative = cursor.size(`the offset of ${name}`);
  const type = ggmlTypes.find((known) => known.id === id);
  if (type === undefined) {
    throw new UserError(
      `${cursor.path}: tensor ${name} has GGML type ${id}; expected one of ${ggmlTypes.map((known) => known.name).join(", ")}. ` +
        "Use another quantization of the model, for example Q8_0 or F16.",
    );
  }
  const elements = shape.reduce((product, size) => product * size, 1);
  const rowLength = shape.at(-1) ?? 1;
  if (rowLength % type.blockElements !== 0) {
    throw broken(
      cursor.path,
      `tensor ${name} has rows of ${rowLength} elements, ${type.name} needs a multiple of ${type.blockElements}`,
    );
  }
  const bytes = (elements / type.blockElements) * type.blockBytes;
  return { name, shape, type: type.name, bytes, elements, relative };
}
