// Tensors that the ranks of a run saved in parts, one file a rank, read as whole ones: each file's header says where its
// parts begin. Names and header are those of torch.distributed.checkpoint's Hugging Face storage (DCP_SHARDING_INFO), so
// Python reads and joins the files, too. A part is some rows (of dimension 0), or some columns (of dimension 1) of them.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../util/index.ts";
import { dtypeBytes, elementCount } from "./dtypes.ts";
import { readHeaderOf, type TensorInfo } from "./header.ts";
import { openSafetensors, type SafetensorsFile, type TensorSource } from "./reader.ts";

/** What of a tensor a file holds: rows `start` to `start + length`, and of them all columns or some. */
export interface Piece {
  readonly file: string;
  readonly start: number;
  readonly length: number;
  readonly columns?: { readonly start: number; readonly length: number } | undefined;
  readonly bytes: number;
}

/** Told of a part's own bytes, from its byte `at` on, when they are read. */
export type SeePiece = (piece: Piece, bytes: Uint8Array, at: number) => void;

/** The file of the rank with this number, from 0. */
export function shardFileName(group: string, index: number): string {
  return `shard-${String(index + 1).padStart(5, "0")}-${group}-00001-of-00001.safetensors`;
}

/** A file's metadata, from the first row and column of each of its tensors. */
export function shardMetadata(
  tensors: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly start: number;
    readonly columns?: { readonly start: number } | undefined;
  }[],
): Record<string, string> {
  const info = tensors.map(({ name, shape, start, columns }) => {
    const first = [start, columns?.start ?? 0];
    return [name, { saved_offsets: shape.map((_, dim) => first[dim] ?? 0) }];
  });
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

interface FoundPiece extends Piece {
  readonly source: SafetensorsFile;
  readonly firstColumn: number;
}

interface OpenPiece extends FoundPiece {
  /** Bytes of a row of the part, and how many of the whole tensor's row lie before them. */
  readonly width: number;
  readonly left: number;
}

export interface ShardSource extends TensorSource {
  /** Where the parts of a tensor lie, in order. */
  pieces(name: string): readonly Piece[];
  /** As TensorSource; `see` may be told some bytes of a part again. */
  readInto(name: string, into: Uint8Array, byteOffset?: number, see?: SeePiece): void;
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
  readInto(name: string, into: Uint8Array, byteOffset = 0, see: SeePiece = () => undefined): void {
    const { info, pieces } = this.#find(name);
    const end = byteOffset + into.length;
    if (byteOffset < 0 || end > info.length) {
      throw new RangeError(
        `${this.#folder}: ${name} has ${info.length} bytes; bytes ${byteOffset} to ${end} were asked for`,
      );
    }
    const rowBytes = info.length / (info.shape[0] ?? 1);
    for (const piece of pieces) {
      const { source, start, length, width, left } = piece;
      const read = (bytes: Uint8Array, at: number): void => {
        source.readInto(name, bytes, at);
        see(piece, bytes, at);
      };
      // The part's rows that are asked for; where its rows are whole, or it is one row's, its bytes lie as they are wanted.
      const first = Math.max(start, Math.floor(byteOffset / rowBytes));
      const last = Math.min(start + length, Math.ceil(end / rowBytes));
      if (first >= last) continue;
      if (width === rowBytes || last - first === 1) {
        const from = width === rowBytes ? start * rowBytes : first * rowBytes + left;
        const begin = Math.max(from, byteOffset);
        const stop = Math.min(width === rowBytes ? from + piece.bytes : from + width, end);
        if (begin >= stop) continue;
        const at = width === rowBytes ? 0 : (first - start) * width;
        read(into.subarray(begin - byteOffset, stop - byteOffset), at + begin - from);
        continue;
      }
      const block = new Uint8Array((last - first) * width);
      read(block, (first - start) * width);
      for (let row = first; row < last; row++) {
        const from = row * rowBytes + left;
        const [begin, stop] = [Math.max(from, byteOffset), Math.min(from + width, end)];
        if (begin >= stop) continue;
        const at = (row - first) * width + begin - from;
        into.set(block.subarray(at, at + stop - begin), begin - byteOffset);
      }
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
    const found = new Map<string, FoundPiece[]>();
    for (const file of names) {
      const source = openSafetensors(join(folder, file));
      files.push(source);
      const offsets = offsetsIn(join(folder, file));
      for (const name of source.names) {
        const { shape, length: bytes } = source.info(name);
        const [start = 0, firstColumn = 0] = offsets[name]?.saved_offsets ?? [];
        const list = found.get(name) ?? [];
        list.push({ file, source, start, length: shape[0] ?? 1, firstColumn, bytes });
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

/** Joins the parts of a tensor: bands of columns side by side, in each rows that follow one another without gaps. */
function whole(
  folder: string,
  name: string,
  pieces: readonly FoundPiece[],
): { info: TensorInfo; pieces: readonly OpenPiece[] } {
  const info = pieces[0]!.source.info(name);
  const { dtype, shape } = info;
  if (shape.length === 0) return { info, pieces: [{ ...pieces[0]!, width: info.length, left: 0 }] };
  const bands = [...Map.groupBy(pieces, ({ firstColumn }) => firstColumn)].sort(([a], [b]) => a - b);
  const perColumn = elementCount(shape.slice(2)) * dtypeBytes[dtype];
  const open: OpenPiece[] = [];
  let columns = 0;
  let rows: number | undefined;
  for (const [firstColumn, band] of bands) {
    const ordered = [...band].sort((a, b) => a.start - b.start);
    const count = ordered[0]!.source.info(name).shape[1] ?? 1;
    const found = joinRows(folder, name, ordered);
    rows ??= found;
    if (firstColumn !== columns || found !== rows) {
      throw new UserError(
        `${join(folder, ordered[0]!.file)}: its part of ${name} is ${found} rows from column ${firstColumn} on, expected ${rows} rows from column ${columns} on: a file of another rank is missing or of another checkpoint.`,
      );
    }
    const at = { width: count * perColumn, left: columns * perColumn };
    const own = bands.length > 1 ? { columns: { start: columns, length: count } } : {};
    open.push(...ordered.map((piece) => ({ ...piece, ...at, ...own })));
    columns += count;
  }
  const full = shape.length > 1 ? [rows!, columns, ...shape.slice(2)] : [rows!];
  return {
    info: { dtype, shape: full, offset: 0, length: elementCount(full) * dtypeBytes[dtype] },
    pieces: open,
  };
}

/** The rows of the parts of one band of columns. @throws UserError where they don't follow one another */
function joinRows(folder: string, name: string, ordered: readonly FoundPiece[]): number {
  const { dtype, shape } = ordered[0]!.source.info(name);
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
  return rows;
}
