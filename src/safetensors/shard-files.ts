// Tensors that the ranks of a run saved in parts, one file a rank, read as whole ones: each file's header says where its
// parts begin. Names and header are those of torch.distributed.checkpoint's Hugging Face storage (DCP_SHARDING_INFO), so
// Python reads and joins the files, too. Parts are of dimension 0, so that each is one stretch of its tensor's bytes.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../util/index.ts";
import { dtypeBytes, elementCount } from "./dtypes.ts";
import { readHeaderOf, type TensorInfo } from "./header.ts";
import { openSafetensors, type SafetensorsFile, type TensorSource } from "./reader.ts";

/** What of a tensor a file holds: rows `start` to `start + length`. */
export interface Piece {
  readonly file: string;
  readonly start: number;
  readonly length: number;
}

/** The file of the rank with this number, from 0. */
export function shardFileName(group: string, index: number): string {
  return `shard-${String(index + 1).padStart(5, "0")}-${group}-00001-of-00001.safetensors`;
}

/** A file's metadata, from the first row of each of its tensors. */
export function shardMetadata(
  tensors: readonly { readonly name: string; readonly shape: readonly number[]; readonly start: number }[],
): Record<string, string> {
  const info = tensors.map(({ name, shape, start }) => [
    name,
    { saved_offsets: shape.map((_, dim) => (dim === 0 ? start : 0)) },
  ]);
  return {
    format: "pt",
    DCP_VERSION: "1.0",
    DCP_SHARDING_INFO: JSON.stringify(Object.fromEntries(info)),
  };
}

/** The files of a group (`model`, `optimizer`) in a folder, by name. */
export function shardFilesIn(folder: string, group: string): string[] {
  return readdirSync(folder)
    .filter((name) => /^shard-\d+-(\w+)-\d+-of-\d+\.safetensors$/.exec(name)?.[1] === group)
    .sort();
}

interface OpenPiece extends Piece {
  readonly source: SafetensorsFile;
  /** First byte in the whole tensor, and the bytes. */
  readonly from: number;
  readonly bytes: number;
}

export interface ShardSource extends TensorSource {
  /** Where the parts of a tensor lie, in order. */
  pieces(name: string): readonly Piece[];
}

class ShardFiles implements ShardSource {
  readonly names: readonly string[];
  readonly #folder: string;
  readonly #files: readonly SafetensorsFile[];
  readonly #tensors: ReadonlyMap<string, { info: TensorInfo; pieces: readonly OpenPiece[] }>;

  constructor(
    folder: string,
    files: readonly SafetensorsFile[],
    tensors: ReadonlyMap<string, { info: TensorInfo; pieces: readonly OpenPiece[] }>,
  ) {
    this.#folder = folder;
    this.#files = files;
    this.#tensors = tensors;
    this.names = [...tensors.keys()];
  }

  #find(name: string): { info: TensorInfo; pieces: readonly OpenPiece[] } {
    const found = this.#tensors.get(name);
    if (found === undefined) throw new UserError(`${this.#folder}: holds no tensor ${name}`);
    return found;
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }
  info(name: string): TensorInfo {
    return this.#find(name).info;
  }
  pieces(name: string): readonly Piece[] {
    return this.#find(name).pieces;
  }
  fileOf(name: string): string {
    return join(this.#folder, this.#find(name).pieces[0]!.file);
  }
  readInto(name: string, into: Uint8Array, byteOffset = 0): void {
    const { info, pieces } = this.#find(name);
    const end = byteOffset + into.length;
    if (byteOffset < 0 || end > info.length) {
      throw new RangeError(
        `${this.#folder}: ${name} has ${info.length} bytes; bytes ${byteOffset} to ${end} were asked for`,
      );
    }
    for (const { source, from, bytes } of pieces) {
      const begin = Math.max(from, byteOffset);
      const stop = Math.min(from + bytes, end);
      if (begin >= stop) continue;
      source.readInto(name, into.subarray(begin - byteOffset, stop - byteOffset), begin - from);
    }
  }
  read(name: string): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.info(name).length);
    this.readInto(name, bytes);
    return bytes;
  }
  close(): void {
    for (const file of this.#files) file.close();
  }
  [Symbol.dispose](): void {
    this.close();
  }
}

/** Opens the files of a group as one source. @throws UserError where they don't make up whole tensors */
export function openShardFiles(folder: string, group: string): ShardSource {
  const names = shardFilesIn(folder, group);
  const files: SafetensorsFile[] = [];
  try {
    const found = new Map<string, OpenPiece[]>();
    for (const file of names) {
      const source = openSafetensors(join(folder, file));
      files.push(source);
      const offsets = offsetsIn(join(folder, file));
      for (const name of source.names) {
        const { shape, length: bytes } = source.info(name);
        const start = offsets[name]?.saved_offsets[0] ?? 0;
        const length = shape[0] ?? 1;
        const list = found.get(name) ?? [];
        list.push({ file, source, start, length, from: (bytes / length) * start, bytes });
        found.set(name, list);
      }
    }
    const tensors = [...found].map(([name, pieces]) => [name, whole(folder, name, pieces)] as const);
    return new ShardFiles(folder, files, new Map(tensors));
  } catch (error) {
    for (const file of files) file.close();
    throw error;
  }
}

function offsetsIn(path: string): Record<string, { saved_offsets: number[] } | undefined> {
  const text = readHeaderOf(path).metadata["DCP_SHARDING_INFO"];
  return text === undefined ? {} : (JSON.parse(text) as Record<string, { saved_offsets: number[] }>);
}

/** Joins the parts of a tensor, which must follow one another without gaps. */
function whole(
  folder: string,
  name: string,
  pieces: readonly OpenPiece[],
): { info: TensorInfo; pieces: readonly OpenPiece[] } {
  const ordered = [...pieces].sort((a, b) => a.start - b.start);
  const { dtype, shape } = ordered[0]!.source.info(name);
  if (shape.length === 0) return { info: ordered[0]!.source.info(name), pieces: ordered.slice(0, 1) };
  let rows = 0;
  for (const { start, length, source, file } of ordered) {
    const info = source.info(name);
    const fits =
      info.dtype === dtype && info.shape.slice(1).join() === shape.slice(1).join() && start === rows;
    if (!fits) {
      throw new UserError(
        `${join(folder, file)}: its part of ${name} begins at row ${start}, expected ${rows}: a file of another rank is missing or of another checkpoint.`,
      );
    }
    rows += length;
  }
  const full = [rows, ...shape.slice(1)];
  const length = elementCount(full) * dtypeBytes[dtype];
  return { info: { dtype, shape: full, offset: 0, length }, pieces: ordered };
}
