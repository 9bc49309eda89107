// Writes the files of one rank, and leaves the checksums of what it wrote where `publish` finds them. Knows nothing of tensors, so that a
// thread without libtorch can use it.
import { closeSync, fsyncSync, ftruncateSync, openSync, renameSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { layoutOf, tensorBytes, writeSafetensors, type FileLayout } from "../../safetensors/index.ts";
import { ChunkSums } from "../../util/index.ts";
import type { CheckpointFile, TensorInFile, WriteJob } from "./job.ts";

/** What a rank's bytes come to. */
export interface WrittenSums {
  /** Of tensors, see Manifest.checksums. */
  readonly tensors: Readonly<Record<string, number>>;
  /** Of files: see ChunkSums.parts. */
  readonly files: Readonly<Record<string, readonly number[]>>;
}

/** The file in which a rank leaves its checksums when all it writes is on the disk. */
export const checksumsFile = (temporary: string, writer: number): string =>
  join(temporary, `.written-${writer}.json`);

/** Of the first rank, before any writes: the shared files at their full sizes, with headers. */
export function createSharedFiles(folder: string, files: readonly CheckpointFile[]): void {
  for (const { file, layout } of files) {
    if (layout === undefined) continue;
    const fd = openSync(join(folder, file), "w");
    try {
      ftruncateSync(fd, layout.bytes);
      writeFully(fd, layout.header, 0);
    } finally {
      closeSync(fd);
    }
  }
}

/** @param bytesOf a tensor's bytes in C order, piece by piece */
export function writeFiles<T extends TensorInFile>(
  { temporary, files, writer }: WriteJob<T>,
  bytesOf: (tensor: T) => Iterable<Uint8Array>,
): void {
  const checksums: Record<string, number> = {};
  const fileSums: Record<string, number[]> = {};
  for (const { file, metadata, tensors, layout } of files) {
    const path = join(temporary, file);
    const options = metadata === undefined ? {} : { metadata };
    const { header, offsets, bytes } = layout ?? layoutOf(tensors, options);
    const sums = new ChunkSums(bytes);
    if (layout !== undefined) {
      // Its header is there already: the first writer answers for it.
      if (writer === 0) sums.add(header, 0);
      writeSlices(path, tensors, layout.offsets, bytesOf, sums);
    } else {
      sums.add(header, 0);
      const toWrite = tensors.map((tensor) => ({
        ...tensor,
        *data() {
          let at = offsets.get(tensor.name)!;
          let checksum = 0;
          for (const piece of bytesOf(tensor)) {
            checksum = sums.add(piece, at, checksum);
            at += piece.length;
            yield piece;
          }
          if (tensor.checksum !== undefined) checksums[tensor.checksum] = checksum;
        },
      }));
      writeSafetensors(path, toWrite, options);
    }
    fileSums[file] = [...sums.parts];
  }
  const mark = checksumsFile(temporary, writer);
  const written: WrittenSums = { tensors: checksums, files: fileSums };
  writeFileSync(`${mark}.partial`, JSON.stringify(written));
  renameSync(`${mark}.partial`, mark);
}

/** Writes slices into a shared file, where they belong, and sees them onto the disk. */
function writeSlices<T extends TensorInFile>(
  path: string,
  tensors: readonly T[],
  offsets: FileLayout["offsets"],
  bytesOf: (tensor: T) => Iterable<Uint8Array>,
  sums: ChunkSums,
): void {
  const fd = openSync(path, "r+");
  try {
    for (const tensor of tensors) {
      let done = 0;
      for (const piece of bytesOf(tensor)) {
        writePiece(fd, piece, { tensor, begin: offsets.get(tensor.name)!, done }, sums);
        done += piece.length;
      }
    }
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Writes bytes of a slice, from its byte `done` on; the whole tensor begins at byte `begin` of the file. */
function writePiece(
  fd: number,
  bytes: Uint8Array,
  { tensor, begin, done }: { tensor: TensorInFile; begin: number; done: number },
  sums: ChunkSums,
): void {
  const write = (some: Uint8Array, position: number): void => {
    writeFully(fd, some, position);
    sums.add(some, position);
  };
  const { dtype, shape, slice = { start: 0 } } = tensor;
  const rowBytes = tensorBytes({ dtype, shape: shape.slice(1) });
  const { start, columns } = slice;
  if (columns === undefined) {
    write(bytes, begin + start * rowBytes + done);
    return;
  }
  const columnBytes = rowBytes / shape[1]!;
  for (let at = 0; at < bytes.length;) {
    const row = Math.floor((done + at) / rowBytes);
    const inRow = done + at - row * rowBytes;
    const some = bytes.subarray(at, Math.min(bytes.length, at + rowBytes - inRow));
    const column = (start + row) * columns.of + columns.start;
    write(some, begin + column * columnBytes + inRow);
    at += some.length;
  }
}

function writeFully(fd: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length;)
    done += writeSync(fd, bytes, done, Math.min(bytes.length - done, 1 << 30), position + done);
}
