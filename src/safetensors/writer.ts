// Writes safetensors files with only one tensor in memory at a time. A file is written under a temporary name, synced and renamed,
// so that readers see the old file or the complete new one. The bytes equal those of the reference implementation.
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { UserError } from "../util/index.ts";
import { compareForWriting, dtypeBytes, elementCount, type SafetensorsDtype } from "./dtypes.ts";
import { indexFileName, singleFileName } from "./model-folder.ts";

/** A tensor to write. `data` is called once, when the tensor is written; an iterable returns the bytes in chunks. */
export interface TensorToWrite {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly data: () => Uint8Array | Iterable<Uint8Array>;
}

export interface WriteOptions {
  /** Default `{ format: "pt" }`, which Transformers requires. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** The layout of a file, so that several writers can each write some of its bytes. */
export interface FileLayout {
  /** The first bytes of the file. */
  readonly header: Uint8Array;
  /** Offset in the file (absolute) of each tensor. */
  readonly offsets: ReadonlyMap<string, number>;
  /** Size of the file. */
  readonly bytes: number;
}

/** The layout of the file that `writeSafetensors` would write. */
export function layoutOf(
  tensors: readonly Omit<TensorToWrite, "data">[],
  options: WriteOptions = {},
): FileLayout {
  const ordered = [...tensors].sort(compareForWriting);
  const header = encodeHeader(ordered, options.metadata ?? { format: "pt" });
  const offsets = new Map<string, number>();
  let bytes = header.length;
  for (const tensor of ordered) {
    offsets.set(tensor.name, bytes);
    bytes += tensorBytes(tensor);
  }
  return { header, offsets, bytes };
}

/** The files that `writeModelWeights` would write, and their tensors. More than one file needs the index. */
export function planModelFiles<T extends Omit<TensorToWrite, "data">>(
  tensors: readonly T[],
  maxShardBytes = 5e9,
): { readonly file: string; readonly tensors: readonly T[] }[] {
  const shards = planShards(tensors, maxShardBytes);
  if (shards.length <= 1) return [{ file: singleFileName, tensors: shards[0] ?? [] }];
  const count = String(shards.length).padStart(5, "0");
  return shards.map((shard, i) => ({
    file: `model-${String(i + 1).padStart(5, "0")}-of-${count}.safetensors`,
    tensors: shard,
  }));
}

/** Writes the index of a model that has several files. */
export function writeIndex(
  folder: string,
  files: readonly { readonly file: string; readonly tensors: readonly Omit<TensorToWrite, "data">[] }[],
): void {
  const all = files.flatMap(({ file, tensors }) => tensors.map((tensor) => ({ file, tensor })));
  const totalSize = all.reduce((sum, { tensor }) => sum + tensorBytes(tensor), 0);
  const sorted = Object.fromEntries(
    all.map(({ file, tensor }) => [tensor.name, file] as const).sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  writeAtomically(
    join(folder, indexFileName),
    `${JSON.stringify({ metadata: { total_size: totalSize }, weight_map: sorted }, null, 2)}\n`,
  );
}

/** Size in bytes of a tensor's data. */
export function tensorBytes(tensor: Pick<TensorToWrite, "dtype" | "shape">): number {
  return elementCount(tensor.shape) * dtypeBytes[tensor.dtype];
}

/**
 * Writes one file. Returns its size in bytes.
 * @throws UserError if the disk is full (no file is left), Error if a tensor returns the wrong number of bytes
 */
export function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  options: WriteOptions = {},
): number {
  const ordered = [...tensors].sort(compareForWriting);
  const header = encodeHeader(ordered, options.metadata ?? { format: "pt" });
  const partial = `${path}.partial-${process.pid}`;
  const total = ordered.reduce((sum, tensor) => sum + tensorBytes(tensor), header.length);
  let fd: number | undefined;
  try {
    fd = openSync(partial, "w");
    writeFully(fd, header);
    for (const tensor of ordered) writeTensor(fd, tensor);
    fsyncSync(fd);
    closeSync(fd);
    fd = undefined;
    renameSync(partial, path);
  } catch (error) {
    if (fd !== undefined) closeSync(fd);
    rmSync(partial, { force: true });
    if (isDiskFull(error)) {
      throw new UserError(`${path}: no space left on the disk for ${total} bytes. Free some and try again.`, {
        cause: error,
      });
    }
    throw error;
  }
  syncFolder(dirname(path));
  return total;
}

/**
 * Writes a model's tensors into a folder under the names that Transformers uses: `model.safetensors`, or shards of at most
 * `maxShardBytes` (unless a single tensor is larger) and their index. Returns the names of all files.
 */
export function writeModelWeights(
  folder: string,
  tensors: readonly TensorToWrite[],
  options: WriteOptions & { readonly maxShardBytes?: number } = {},
): string[] {
  const files = planModelFiles(tensors, options.maxShardBytes);
  for (const { file, tensors: some } of files) writeSafetensors(join(folder, file), some, options);
  const names = files.map(({ file }) => file);
  if (files.length === 1) return names;
  writeIndex(folder, files);
  return [...names, indexFileName];
}

/** Fills shards in order, like huggingface_hub's `split_torch_state_dict_into_shards`. */
export function planShards<T extends Pick<TensorToWrite, "dtype" | "shape">>(
  tensors: readonly T[],
  maxShardBytes: number,
): T[][] {
  const oversized: T[][] = [];
  const shards: T[][] = [];
  let current: T[] = [];
  let currentBytes = 0;
  for (const tensor of tensors) {
    const bytes = tensorBytes(tensor);
    if (bytes > maxShardBytes) {
      oversized.push([tensor]);
      continue;
    }
    if (currentBytes + bytes > maxShardBytes) {
      shards.push(current);
      current = [];
      currentBytes = 0;
    }
    current.push(tensor);
    currentBytes += bytes;
  }
  if (current.length > 0) shards.push(current);
  return [...oversized, ...shards];
}

function encodeHeader(
  ordered: readonly Omit<TensorToWrite, "data">[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const seen = new Set<string>();
  const parts: string[] = [];
  if (Object.keys(metadata).length > 0) parts.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let offset = 0;
  for (const tensor of ordered) {
    if (seen.has(tensor.name)) throw new Error(`tensor ${tensor.name} is given twice`);
    seen.add(tensor.name);
    const end = offset + tensorBytes(tensor);
    const entry = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, end] };
    parts.push(`${JSON.stringify(tensor.name)}:${JSON.stringify(entry)}`);
    offset = end;
  }
  const json = Buffer.from(`{${parts.join(",")}}`, "utf8");
  const padded = Math.ceil(json.length / 8) * 8; // aligns the data section to 8 bytes
  const header = Buffer.alloc(8 + padded, " ");
  header.writeBigUInt64LE(BigInt(padded), 0);
  json.copy(header, 8);
  return header;
}

function writeTensor(fd: number, tensor: TensorToWrite): void {
  const data = tensor.data();
  let written = 0;
  for (const piece of data instanceof Uint8Array ? [data] : data) {
    writeFully(fd, piece);
    written += piece.length;
  }
  const expected = tensorBytes(tensor);
  if (written !== expected) {
    throw new Error(
      `tensor ${tensor.name}: ${tensor.dtype} [${tensor.shape.join(", ")}] takes ${expected} bytes, ${written} were given`,
    );
  }
}

function writeFully(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(fd, bytes, done, Math.min(bytes.length - done, 1 << 30));
  }
}

function writeAtomically(path: string, text: string): void {
  const partial = `${path}.partial-${process.pid}`;
  const fd = openSync(partial, "w");
  try {
    writeFully(fd, Buffer.from(text, "utf8"));
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(partial, path);
  syncFolder(dirname(path));
}

/** Makes a rename durable. Windows neither has nor needs this. */
function syncFolder(folder: string): void {
  if (process.platform === "win32") return;
  const fd = openSync(folder, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function isDiskFull(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  return code === "ENOSPC" || code === "EDQUOT";
}
