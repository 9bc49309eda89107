// Reads byte ranges of tensors from a safetensors file directly into the caller's memory, such as a torch tensor's. The bytes are
// not converted (the format is little-endian).
import { closeSync, fstatSync } from "node:fs";
import { basename } from "node:path";
import { checkedReader, chunkFaultText, UserError, type FolderSums, type ReadAt } from "../util/index.ts";
import { openForReading, readerOf, readHeader, type Header, type TensorInfo } from "./header.ts";

/** A source of named tensors: one file, or all shards of a model. */
export interface TensorSource extends Disposable {
  /** In file order. */
  readonly names: readonly string[];
  has(name: string): boolean;
  /** @throws UserError if there is no such tensor */
  info(name: string): TensorInfo;
  /** The file that contains the tensor, for messages. */
  fileOf(name: string): string;
  /**
   * Fills `into` with the tensor's bytes, starting at `byteOffset`. `into` may be shorter than the rest of the tensor, but not
   * longer. @throws UserError if the file was truncated, RangeError if `into` is too long
   */
  readInto(name: string, into: Uint8Array, byteOffset?: number): void;
  /** The tensor's bytes in new memory. */
  read(name: string): Uint8Array<ArrayBuffer>;
  close(): void;
}

class SafetensorsFile implements TensorSource {
  readonly path: string;
  readonly names: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  readonly #tensors: Header["tensors"];
  readonly #read: ReadAt;
  #fd: number | undefined;

  constructor(path: string, fd: number, header: Header, read: ReadAt) {
    this.path = path;
    this.#fd = fd;
    this.#read = read;
    this.#tensors = header.tensors;
    this.metadata = header.metadata;
    this.names = [...header.tensors].sort(([, a], [, b]) => a.offset - b.offset).map(([name]) => name);
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  info(name: string): TensorInfo {
    const info = this.#tensors.get(name);
    if (info === undefined) throw new UserError(`${this.path}: holds no tensor ${name}`);
    return info;
  }

  fileOf(): string {
    return this.path;
  }

  readInto(name: string, into: Uint8Array, byteOffset = 0): void {
    if (this.#fd === undefined) throw new Error(`${this.path}: read after close`);
    const info = this.info(name);
    if (byteOffset < 0 || byteOffset + into.length > info.length) {
      throw new RangeError(
        `${this.path}: ${name} has ${info.length} bytes; bytes ${byteOffset} to ${byteOffset + into.length} were asked for`,
      );
    }
    const bytesRead = this.#read(into, info.offset + byteOffset);
    if (bytesRead < into.length) {
      throw new UserError(
        `${this.path}: truncated inside tensor ${name} (${bytesRead} of ${into.length} bytes). Download or save it again.`,
      );
    }
  }

  read(name: string): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(this.info(name).length);
    this.readInto(name, bytes);
    return bytes;
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

export type { SafetensorsFile };

/**
 * Opens a file and checks its header. With the checksums of its folder, all that is read is checked.
 * @throws UserError that names the file and the fault
 *
 * @example
 * ```ts
 * import { openSafetensors, writeSafetensors } from "torchforge/safetensors";
 *
 * const data = new Uint8Array(Float32Array.of(1, 2).buffer);
 * writeSafetensors("weights.safetensors", [{ name: "w", dtype: "F32", shape: [2], data: () => [data] }]);
 * using file = openSafetensors("weights.safetensors");
 * console.log(file.names, file.info("w").shape); // ["w"] [2]
 * ```
 */
export function openSafetensors(path: string, sums?: FolderSums): SafetensorsFile {
  const fd = openForReading(path);
  try {
    const read = checkedBy(sums, path, fd);
    return new SafetensorsFile(path, fd, readHeader(fd, path, read), read);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function checkedBy(sums: FolderSums | undefined, path: string, fd: number): ReadAt {
  const own = sums?.files[basename(path)];
  if (own === undefined) return readerOf(fd);
  return checkedReader(
    readerOf(fd),
    fstatSync(fd).size,
    own,
    (fault) => new UserError(`${path}: damaged: ${chunkFaultText(fault)}. ${sums!.advice}`),
  );
}
