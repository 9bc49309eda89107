// Reads tensors that the ranks of a run saved as pieces, one file per rank, as whole tensors. Each file's header has the offsets of
// its pieces. Names and header are those of torch.distributed.checkpoint's Hugging Face storage (DCP_SHARDING_INFO), so that Python
// can also read the files. A piece is a range of rows (dimension 0), and optionally of columns (dimension 1).
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { messageOf, UserError, type FolderSums } from "../util/index.ts";
import { dtypeBytes, elementCount } from "./dtypes.ts";
import type { TensorInfo } from "./header.ts";
import { openSafetensors, type SafetensorsFile, type TensorSource } from "./reader.ts";

/** The piece of a tensor in a file: rows `start` to `start + length`, and all or some of their columns. */
export interface Piece {
  readonly file: string;
  readonly start: number;
  readonly length: number;
  readonly columns?: { readonly start: number; readonly length: number } | undefined;
  readonly bytes: number;
}

/** Called with a piece's bytes when they are read, starting at its byte `at`. */
export type OnPieceRead = (piece: Piece, bytes: Uint8Array, at: number) => void;

/** The file name of a rank, counted from 0. */
export function shardFileName(group: string, index: number): string {
  return `shard-${String(index + 1).padStart(5, "0")}-${group}-00001-of-00001.safetensors`;
}

/** The metadata of a file, from the first row and column of each piece. */
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

/** The sorted names of a group's files (`model`, `optimizer`) in a folder. */
export function shardFilesIn(folder: string, group: string): string[] {
  return readdirSync(folder)
    .filter((name) => /^shard-\d+-(\w+)-\d+-of-\d+\.safetensors$/.exec(name)?.[1] === group)
    .sort();
}

interface SourcePiece extends Piece {
  readonly source: SafetensorsFile;
  readonly firstColumn: number;
}

interface PlacedPiece extends SourcePiece {
  /** Bytes of one row of the piece. */
  readonly rowPartBytes: number;
  /** Bytes of the whole tensor's row before the piece's columns. */
  readonly leftBytes: number;
}

export interface ShardSource extends TensorSource {
  /** The pieces of a tensor, in order. */
  pieces(name: string): readonly Piece[];
  /** Like TensorSource.readInto; `onRead` may get some bytes of a piece more than once. */
  readInto(name: string, into: Uint8Array, byteOffset?: number, onRead?: OnPieceRead): void;
}

class ShardFiles implements ShardSource {
  readonly names: readonly string[];
  readonly #folder: string;
  readonly #files: readonly SafetensorsFile[];
  readonly #tensors: ReadonlyMap<string, { info: TensorInfo; pieces: readonly PlacedPiece[] }>;

  constructor(
    folder: string,
    files: readonly SafetensorsFile[],
    tensors: ReadonlyMap<string, { info: TensorInfo; pieces: readonly PlacedPiece[] }>,
  ) {
    this.#folder = folder;
    this.#files = files;
    this.#tensors = tensors;
    this.names = [...tensors.keys()];
  }

  #find(name: string): { info: TensorInfo; pieces: readonly PlacedPiece[] } {
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
  readInto(name: string, into: Uint8Array, byteOffset = 0, onRead: OnPieceRead = () => undefined): void {
    const { info, pieces } = this.#find(name);
    const end = byteOffset + into.length;
    if (byteOffset < 0 || end > info.length) {
      throw new RangeError(
        `${this.#folder}: ${name} has ${info.length} bytes; bytes ${byteOffset} to ${end} were asked for`,
      );
    }
    const rowBytes = info.length / (info.shape[0] ?? 1);
    for (const piece of pieces) {
      const { source, start, length, rowPartBytes, leftBytes } = piece;
      const read = (bytes: Uint8Array, at: number): void => {
        source.readInto(name, bytes, at);
        onRead(piece, bytes, at);
      };
      // The requested rows of this piece. If its rows are complete, or there is only one, its bytes are contiguous in the result.
      const first = Math.max(start, Math.floor(byteOffset / rowBytes));
      const last = Math.min(start + length, Math.ceil(end / rowBytes));
      if (first >= last) continue;
      if (rowPartBytes === rowBytes || last - first === 1) {
        const from = rowPartBytes === rowBytes ? start * rowBytes : first * rowBytes + leftBytes;
        const begin = Math.max(from, byteOffset);
        const stop = Math.min(rowPartBytes === rowBytes ? from + piece.bytes : from + rowPartBytes, end);
        if (begin >= stop) continue;
        const at = rowPartBytes === rowBytes ? 0 : (first - start) * rowPartBytes;
        read(into.subarray(begin - byteOffset, stop - byteOffset), at + begin - from);
        continue;
      }
      const block = new Uint8Array((last - first) * rowPartBytes);
      read(block, (first - start) * rowPartBytes);
      for (let row = first; row < last; row++) {
        const from = row * rowBytes + leftBytes;
        const [begin, stop] = [Math.max(from, byteOffset), Math.min(from + rowPartBytes, end)];
        if (begin >= stop) continue;
        const at = (row - first) * rowPartBytes + begin - from;
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

/** Opens the files of a group as one source. @throws UserError if pieces are missing */
export function openShardFiles(folder: string, group: string, sums?: FolderSums): ShardSource {
  const names = shardFilesIn(folder, group);
  const files: SafetensorsFile[] = [];
  try {
    const found = new Map<string, SourcePiece[]>();
    for (const file of names) {
      const source = openSafetensors(join(folder, file), sums);
      files.push(source);
      const offsets = offsetsIn(source);
      for (const name of source.names) {
        const { shape, length: bytes } = source.info(name);
        const [start = 0, firstColumn = 0] = offsets.get(name) ?? [];
        const list = found.get(name) ?? [];
        list.push({ file, source, start, length: shape[0] ?? 1, firstColumn, bytes });
        found.set(name, list);
      }
    }
    const tensors = [...found].map(([name, pieces]) => [name, joinPieces(folder, name, pieces)] as const);
    return new ShardFiles(folder, files, new Map(tensors));
  } catch (error) {
    for (const file of files) file.close();
    throw error;
  }
}

function offsetsIn({ path, metadata }: SafetensorsFile): Map<string, readonly number[]> {
  const text = metadata["DCP_SHARDING_INFO"];
  const broken = (what: string, cause?: unknown): UserError =>
    new UserError(`${path}: DCP_SHARDING_INFO in its header ${what}. Save or download it again.`, { cause });
  let parsed: unknown;
  try {
    parsed = JSON.parse(text ?? "{}");
  } catch (error) {
    throw broken(`is not JSON (${messageOf(error)})`, error);
  }
  if (typeof parsed !== "object" || parsed === null) throw broken("is not a JSON object");
  const offsets = new Map<string, readonly number[]>();
  for (const [name, entry] of Object.entries(parsed)) {
    const saved: unknown = (entry as { saved_offsets?: unknown } | null)?.saved_offsets;
    if (!Array.isArray(saved) || saved.some((offset) => !Number.isSafeInteger(offset) || offset < 0))
      throw broken(`has no saved_offsets of ${name}, a list of whole numbers`);
    offsets.set(name, saved as number[]);
  }
  return offsets;
}

/** Arranges the pieces of a tensor: bands of columns side by side, and in each band consecutive rows without gaps. */
function joinPieces(
  folder: string,
  name: string,
  pieces: readonly SourcePiece[],
): { info: TensorInfo; pieces: readonly PlacedPiece[] } {
  const info = pieces[0]!.source.info(name);
  const { dtype, shape } = info;
  if (shape.length === 0)
    return { info, pieces: [{ ...pieces[0]!, rowPartBytes: info.length, leftBytes: 0 }] };
  const bands = [...Map.groupBy(pieces, ({ firstColumn }) => firstColumn)].sort(([a], [b]) => a - b);
  const perColumn = elementCount(shape.slice(2)) * dtypeBytes[dtype];
  const placed: PlacedPiece[] = [];
  let columns = 0;
  let rows: number | undefined;
  for (const [firstColumn, band] of bands) {
    const ordered = [...band].sort((a, b) => a.start - b.start);
    const count = ordered[0]!.source.info(name).shape[1] ?? 1;
    const numRows = joinRows(folder, name, ordered);
    rows ??= numRows;
    if (firstColumn !== columns || numRows !== rows) {
      throw new UserError(
        `${join(folder, ordered[0]!.file)}: its part of ${name} is ${numRows} rows from column ${firstColumn} on, expected ${rows} rows from column ${columns} on: a file of another rank is missing or of another checkpoint.`,
      );
    }
    const placement = { rowPartBytes: count * perColumn, leftBytes: columns * perColumn };
    const columnRange = bands.length > 1 ? { columns: { start: columns, length: count } } : {};
    placed.push(...ordered.map((piece) => ({ ...piece, ...placement, ...columnRange })));
    columns += count;
  }
  const full = shape.length > 1 ? [rows!, columns, ...shape.slice(2)] : [rows!];
  return {
    info: { dtype, shape: full, offset: 0, length: elementCount(full) * dtypeBytes[dtype] },
    pieces: placed,
  };
}

/** The number of rows of a band of columns. @throws UserError if its pieces aren't consecutive */
function joinRows(folder: string, name: string, ordered: readonly SourcePiece[]): number {
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
