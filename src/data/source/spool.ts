// Texts that were made while a file was read (unpacked, or written anew from Parquet and CSV), to be read again in any order: in
// memory up to a bound, in a nameless temporary file beyond it.
import { randomUUID } from "node:crypto";
import { closeSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { cacheDir, makeFolder, messageOf, UserError } from "../../util/index.ts";

const maxBytesInMemory = 64 * 2 ** 20;

const blockBytes = 1 << 20;

export class Spool {
  #full: Buffer[] = [];
  #block = Buffer.alloc(0);
  #used = 0;
  #waiting = 0;
  #length = 0;
  #whole: Buffer | undefined;
  #descriptor: number | undefined;

  /** Adds a text at the end; gives where it begins and ends. */
  add(bytes: Buffer): [start: number, end: number] {
    if (bytes.length > this.#block.length - this.#used) {
      this.#endBlock();
      if (this.#waiting > maxBytesInMemory) this.#write();
      this.#block = Buffer.allocUnsafeSlow(Math.max(blockBytes, bytes.length));
    }
    this.#used += bytes.copy(this.#block, this.#used);
    const start = this.#length;
    this.#length += bytes.length;
    return [start, this.#length];
  }

  /** Ends the writing. */
  finish(): void {
    this.#endBlock();
    if (this.#descriptor === undefined) this.#whole = Buffer.concat(this.#full);
    else this.#write();
    this.#full = [];
    this.#block = Buffer.alloc(0);
  }

  #endBlock(): void {
    if (this.#used > 0) this.#full.push(this.#block.subarray(0, this.#used));
    this.#waiting += this.#used;
    this.#used = 0;
  }

  read(start: number, end: number): Buffer {
    if (this.#whole !== undefined) return this.#whole.subarray(start, end);
    if (this.#descriptor === undefined) throw new Error("rows are read after their data set was closed");
    const bytes = Buffer.allocUnsafe(end - start);
    for (let done = 0; done < bytes.length;) {
      const read = readSync(this.#descriptor, bytes, done, bytes.length - done, start + done);
      if (read === 0) throw new Error("the temporary file of rows is shorter than what was written to it");
      done += read;
    }
    return bytes;
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
    this.#whole = undefined;
    this.#full = [];
  }

  #write(): void {
    const folder = join(cacheDir(), "rows");
    try {
      this.#descriptor ??= openNameless(folder);
      for (const chunk of this.#full)
        for (let done = 0; done < chunk.length;)
          done += writeSync(this.#descriptor, chunk, done, chunk.length - done);
    } catch (error) {
      throw new UserError(
        `${folder}: rows of packed, Parquet and CSV files are kept there while a run reads them, and they can't be ` +
          `written: ${messageOf(error)}. Make room, or set TORCHFORGE_CACHE to a folder on another disk`,
        { cause: error },
      );
    }
    this.#full = [];
    this.#waiting = 0;
  }
}

/** A file that is gone when it is closed, however the process ends. */
function openNameless(folder: string): number {
  makeFolder(folder);
  const path = join(folder, randomUUID());
  const descriptor = openSync(path, "wx+", 0o600);
  rmSync(path);
  return descriptor;
}
