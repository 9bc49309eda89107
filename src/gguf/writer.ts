// Writes GGUF files (version 3, little-endian), one tensor in memory at a time, under a temporary name that is renamed when the file
// is complete. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";

import { makeFolder, messageOf, UserError } from "../util/index.ts";
import { ggmlType, type GgmlTypeName } from "./types.ts";

/** A value of the metadata, with its type in the file. */
export type GgufEntry =
  | { readonly type: "uint32" | "float32"; readonly value: number }
  | { readonly type: "bool"; readonly value: boolean }
  | { readonly type: "text"; readonly value: string }
  | { readonly type: "texts"; readonly value: readonly string[] }
  | { readonly type: "int32s" | "float32s"; readonly value: readonly number[] };

export type GgufMetadata = ReadonlyMap<string, GgufEntry>;

/** A tensor to write. `data` is called once, when the tensor is written. */
export interface GgufTensorToWrite {
  readonly name: string;
  /** Rows first, as in PyTorch. */
  readonly shape: readonly number[];
  readonly type: GgmlTypeName;
  readonly data: () => Iterable<Uint8Array>;
}

const typeIds = { uint32: 4, int32: 5, float32: 6, bool: 7, text: 8, list: 9 } as const;
const alignment = 32;

/** Bytes of a tensor in the file, without what aligns the next one. */
export function ggufTensorBytes({ shape, type }: Pick<GgufTensorToWrite, "shape" | "type">): number {
  const { blockElements, blockBytes } = ggmlType(type);
  return (shape.reduce((product, size) => product * size, 1) / blockElements) * blockBytes;
}

/**
 * Writes a file.
 * @param onProgress called after every tensor
 * @returns its size in bytes
 * @throws UserError where it can't be written
 */
export function writeGguf(
  path: string,
  metadata: GgufMetadata,
  tensors: readonly GgufTensorToWrite[],
  onProgress?: (done: number, total: number) => void,
): number {
  const partial = `${path}.tmp-${process.pid}`;
  let fd: number | undefined;
  try {
    makeFolder(dirname(path));
    fd = openSync(partial, "w");
    let written = writeAll(fd, headerOf(metadata, tensors));
    for (const [i, tensor] of tensors.entries()) {
      const expected = ggufTensorBytes(tensor);
      let bytes = 0;
      for (const piece of tensor.data()) bytes += writeAll(fd, piece);
      if (bytes !== expected) throw new Error(`${tensor.name}: expected ${expected} bytes, found ${bytes}`);
      written += bytes + writeAll(fd, new Uint8Array(align(bytes) - bytes));
      onProgress?.(i + 1, tensors.length);
    }
    fsyncSync(fd);
    closeSync(fd);
    fd = undefined;
    renameSync(partial, path);
    return written;
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    rmSync(partial, { force: true });
    if ((error as NodeJS.ErrnoException).code === undefined || error instanceof UserError) throw error;
    throw new UserError(`${path}: can't be written: ${messageOf(error)}`, { cause: error });
  }
}

function align(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

function writeAll(fd: number, bytes: Uint8Array): number {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
  return bytes.length;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
function textBytes(text: string): Buffer[] {
  const bytes = Buffer.from(text, "utf8");
  return [u64(bytes.length), bytes];
}

function listBytes(type: number, values: Int32Array<ArrayBuffer> | Float32Array<ArrayBuffer>): Buffer[] {
  return [u32(typeIds.list), u32(type), u64(values.length), Buffer.from(values.buffer)];
}

function entryBytes({ type, value }: GgufEntry): Buffer[] {
  switch (type) {
    case "uint32":
      return [u32(typeIds.uint32), u32(value)];
    case "float32":
      return [u32(typeIds.float32), Buffer.from(Float32Array.of(value).buffer)];
    case "bool":
      return [u32(typeIds.bool), Buffer.of(value ? 1 : 0)];
    case "text":
      return [u32(typeIds.text), ...textBytes(value)];
    case "texts":
      return [u32(typeIds.list), u32(typeIds.text), u64(value.length), ...value.flatMap(textBytes)];
    case "int32s":
      return listBytes(typeIds.int32, Int32Array.from(value));
    case "float32s":
      return listBytes(typeIds.float32, Float32Array.from(value));
  }
}

/** All before the first tensor's bytes. */
function headerOf(metadata: GgufMetadata, tensors: readonly GgufTensorToWrite[]): Buffer {
  const parts: Buffer[] = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(metadata.size)];
  for (const [key, entry] of metadata) parts.push(...textBytes(key), ...entryBytes(entry));
  let offset = 0;
  for (const tensor of tensors) {
    const { name, shape, type } = tensor;
    parts.push(...textBytes(name), u32(shape.length), ...shape.toReversed().map(u64));
    parts.push(u32(ggmlType(type).id), u64(offset));
    offset += align(ggufTensorBytes(tensor));
  }
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat(parts, align(bytes)); // what it is longer is zero
}
