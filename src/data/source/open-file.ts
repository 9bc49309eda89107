// A file that stays the one that was opened: whoever reads it learns when it was rewritten meanwhile. Few of them hold a
// descriptor at a time; the others are opened again when they are read.
import { closeSync, fstatSync, openSync, readSync, statSync, type BigIntStats } from "node:fs";
import { messageOf, UserError } from "../../util/index.ts";

const maxDescriptors = 64;
/** Those with a descriptor, the one that was read longest ago first. */
const withDescriptor = new Set<OpenFile>();

export class OpenFile {
  readonly path: string;
  #descriptor: number | undefined;
  #isClosed = false;
  /** Inode, size and time of the last change: another one is another content. */
  readonly #identity: string;

  /** @throws UserError for a file that can't be opened */
  constructor(path: string) {
    this.path = path;
    this.#identity = identityOf(this.#open());
  }

  /**
   * Bytes `start` (inclusive) to `end` (exclusive).
   * @throws UserError when the file was rewritten since it was opened
   */
  read(start: number, end: number): Buffer {
    const descriptor = this.#open();
    const bytes = Buffer.allocUnsafe(end - start);
    let done = 0;
    while (done < bytes.length) {
      const read = readSync(descriptor, bytes, done, bytes.length - done, start + done);
      if (read === 0) break;
      done += read;
    }
    // After the read: whatever was written before it has changed the file's time.
    if (done < bytes.length || identityOf(descriptor) !== this.#identity) throw changedMeanwhile(this.path);
    return bytes;
  }

  /** @throws UserError when the file was rewritten since it was opened */
  check(): void {
    if (identityOf(this.#open()) !== this.#identity) throw changedMeanwhile(this.path);
  }

  /** Closing again does nothing. */
  close(): void {
    this.#isClosed = true;
    this.#release();
  }

  #open(): number {
    if (this.#isClosed) throw new Error(`${this.path} is read after it was closed`);
    if (this.#descriptor !== undefined) {
      withDescriptor.delete(this); // to the end
      withDescriptor.add(this);
      return this.#descriptor;
    }
    try {
      this.#descriptor = openSync(this.path, "r");
    } catch (error) {
      throw new UserError(`${this.path} can't be opened: ${messageOf(error)}`, { cause: error, exitCode: 2 });
    }
    withDescriptor.add(this);
    if (withDescriptor.size > maxDescriptors) {
      const [oldest] = withDescriptor;
      oldest!.#release();
    }
    // Whoever replaced the file by another one meanwhile has another inode.
    if (this.#identity !== undefined && identityOf(this.#descriptor) !== this.#identity)
      throw changedMeanwhile(this.path);
    return this.#descriptor;
  }

  #release(): void {
    withDescriptor.delete(this);
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

/** What is said of a file that isn't any more the one that was opened. */
export const changedMeanwhile = (path: string): UserError =>
  new UserError(
    `${path} was changed while it is read, so rows would be taken from the wrong places. What was read before is ` +
      "right, and kept. Start again to read the file as it is now, and write new data to another file while a run reads this one",
  );

/** Of the file that lies at a path now; `undefined` where none does. */
export function identityOfPath(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found && identityOfStats(found);
}

const identityOf = (descriptor: number): string => identityOfStats(fstatSync(descriptor, { bigint: true }));

const identityOfStats = ({ ino, size, mtimeNs }: BigIntStats): string => `${ino} ${size} ${mtimeNs}`;
