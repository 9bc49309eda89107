// Checksums of a file by chunks: CRC-32 of each MiB. They are made while the file is written, in any order and by several writers,
// and checked while any part of it is read, without reading anything twice.
import { crc32 } from "node:zlib";

export const chunkBytes = 1 << 20;

/** CRC-32's polynomial, reflected: bit 31 is the coefficient of x^0. */
const polynomial = 0xedb88320;

/** The product of two polynomials modulo CRC-32's. */
function multiply(a: number, b: number): number {
  let product = 0;
  let shifted = b;
  for (let bit = 31; bit >= 0; bit--) {
    if ((a >>> bit) & 1) product ^= shifted;
    shifted = shifted & 1 ? (shifted >>> 1) ^ polynomial : shifted >>> 1;
  }
  return product;
}

/** x^(2^i). */
const powers = [1 << 30];
while (powers.length < 32) powers.push(multiply(powers.at(-1)!, powers.at(-1)!));

/** The CRC register after so many zero bytes more. */
function shift(register: number, bytes: number): number {
  let shifted = register;
  for (let rest = bytes, i = 3; rest > 0; rest = Math.floor(rest / 2), i++)
    if (rest % 2 === 1) shifted = multiply(powers[i % 32]!, shifted);
  return shifted;
}

/** The register after these bytes, from 0 on: this is linear, so that parts of a chunk can be summed up by themselves. */
const registerOf = (bytes: Uint8Array): number => ~crc32(bytes, 0xffffffff);

const sizeOfChunk = (chunk: number, fileBytes: number): number =>
  Math.min(chunkBytes, fileBytes - chunk * chunkBytes);

/** Sums up what one writer writes of a file. */
export class ChunkSums {
  readonly #fileBytes: number;
  /** What this writer's bytes contribute to the register of each chunk. */
  readonly parts: Uint32Array;

  constructor(fileBytes: number) {
    this.#fileBytes = fileBytes;
    this.parts = new Uint32Array(Math.ceil(fileBytes / chunkBytes));
  }

  /**
   * Bytes that are written at a position of the file; none twice.
   * @param checksum CRC-32 of what comes before them, of a tensor say
   * @returns the checksum with them
   */
  add(bytes: Uint8Array, position: number, checksum = 0): number {
    let register = ~checksum;
    for (let done = 0; done < bytes.length;) {
      const at = position + done;
      const chunk = Math.floor(at / chunkBytes);
      const some = bytes.subarray(done, done + Math.min(bytes.length - done, (chunk + 1) * chunkBytes - at));
      const own = registerOf(some);
      const end = chunk * chunkBytes + sizeOfChunk(chunk, this.#fileBytes);
      this.parts[chunk]! ^= shift(own, end - at - some.length);
      register = shift(register, some.length) ^ own;
      done += some.length;
    }
    return ~register >>> 0;
  }
}

/** The checksums of a file that is written, from the parts of all its writers. */
export function joinChunkSums(
  parts: readonly (readonly number[] | Uint32Array)[],
  fileBytes: number,
): Uint32Array {
  return Uint32Array.from({ length: Math.ceil(fileBytes / chunkBytes) }, (_, chunk) => {
    const sum = parts.reduce((register, one) => register ^ one[chunk]!, 0);
    return ~(shift(0xffffffff, sizeOfChunk(chunk, fileBytes)) ^ sum);
  });
}

/** The checksums of bytes that are a whole file. */
export function chunkSumsOf(bytes: Uint8Array): Uint32Array {
  return Uint32Array.from({ length: Math.ceil(bytes.length / chunkBytes) }, (_, chunk) =>
    crc32(bytes.subarray(chunk * chunkBytes, (chunk + 1) * chunkBytes)),
  );
}

/** Whether bytes that are a whole file have these checksums. */
export function isAsSummed(bytes: Uint8Array, sums: Uint32Array): boolean {
  const found = chunkSumsOf(bytes);
  return found.length === sums.length && found.every((sum, i) => sum === sums[i]);
}

/** Fills `into` from a position of a file; gives the bytes that there were. */
export type ReadAt = (into: Uint8Array, position: number) => number;

/** What a chunk of a file is, and what it should be. */
export interface ChunkFault {
  /** Bytes of the file, the last one included. */
  readonly first: number;
  readonly last: number;
  readonly found: number;
  readonly expected: number;
}

/** The fault in words. */
export const chunkFaultText = ({ first, last, found, expected }: ChunkFault): string =>
  `bytes ${first} to ${last} are not what was saved (checksum ${found}, expected ${expected})`;

/**
 * Reads like `read`, and checks every chunk that it touches, whole, before any of it is given.
 * @param fail gives the error to throw
 */
export function checkedReader(
  read: ReadAt,
  fileBytes: number,
  sums: Uint32Array,
  fail: (fault: ChunkFault) => Error,
): ReadAt {
  let buffer: Uint8Array | undefined;
  let held = -1;
  const check = (bytes: Uint8Array, chunk: number): void => {
    const found = crc32(bytes);
    const expected = sums[chunk];
    const first = chunk * chunkBytes;
    if (found !== expected)
      throw fail({ first, last: first + bytes.length - 1, found, expected: expected ?? 0 });
  };
  return (into, position) => {
    const length = Math.max(0, Math.min(into.length, fileBytes - position));
    for (let done = 0; done < length;) {
      const chunk = Math.floor((position + done) / chunkBytes);
      const begin = chunk * chunkBytes;
      const size = sizeOfChunk(chunk, fileBytes);
      if (begin === position + done && length - done >= size) {
        const whole = into.subarray(done, done + size);
        read(whole, begin);
        check(whole, chunk);
        done += size;
        continue;
      }
      if (held !== chunk) {
        held = -1;
        buffer ??= new Uint8Array(Math.min(chunkBytes, fileBytes));
        read(buffer.subarray(0, size), begin);
        check(buffer.subarray(0, size), chunk);
        held = chunk;
      }
      const from = position + done - begin;
      const some = buffer!.subarray(from, Math.min(size, from + length - done));
      into.set(some, done);
      done += some.length;
    }
    return length;
  };
}

/** The checksums of a folder's files, by name, and what to do where one disagrees. */
export interface FolderSums {
  readonly files: Readonly<Record<string, Uint32Array>>;
  readonly advice: string;
}

const sealPattern = /,"crc32":(\d+)\}\n$/;

/** A JSON object's text with a checksum of it as its last entry. */
export function sealJson(json: string): string {
  const open = json.slice(0, -1);
  return `${open},"crc32":${crc32(open)}}\n`;
}

/** Whether the text has the checksum that `sealJson` gave it; `undefined`: it has none. */
export function sealHolds(text: string): boolean | undefined {
  const seal = sealPattern.exec(text);
  return seal === null ? undefined : crc32(text.slice(0, seal.index)) === Number(seal[1]);
}
