// Chooses which documents share a sequence: the best fit within a bounded buffer. The oldest document always goes
// first, so none waits for ever; beside it go those that leave the fewest positions empty. No randomness: the same
// buffer gives the same packs, which is what makes a resume exact.
import type { Document } from "./batch.ts";

// Enough lengths to choose among, and soon full: the first batch waits for no more rows than this.
const maxRows = 256;
const maxSequences = 16;

const sizeOf = ({ columns }: Document): number => columns.tokens.length;

/** Documents that wait to be put into sequences, oldest first. */
export interface DocumentBuffer {
  readonly size: number;
  /** Rows of the documents that wait, oldest first. */
  readonly rows: number[];
  /** Tokens of the oldest that were taken before. */
  readonly offset: number;
  /** Whether there is enough to fill a sequence from; with `isScant`, no more than it takes. */
  isFull(seqLen: number, isScant?: boolean): boolean;
  add(document: Document): void;
  /** Leaves out the first tokens of the oldest, which were taken before. */
  skip(offset: number): void;
  /** Takes the documents of one sequence out of the buffer. */
  take(seqLen: number): Document[];
}

/** Documents that wait to be packed, whole. */
export class PackBuffer implements DocumentBuffer {
  readonly offset = 0;
  #documents: Document[] = [];
  #tokens = 0;

  get size(): number {
    return this.#documents.length;
  }

  /** Whether there is enough to choose from. */
  isFull(seqLen: number, isScant = false): boolean {
    return this.size >= maxRows || this.#tokens >= (isScant ? 1 : maxSequences) * seqLen;
  }

  /** Rows of the documents that wait, oldest first. */
  get rows(): number[] {
    return this.#documents.map(({ row }) => row);
  }

  skip(): void {}

  add(document: Document): void {
    this.#documents.push(document);
    this.#tokens += sizeOf(document);
  }

  /** Takes the documents of one sequence out of the buffer. None may be longer than `seqLen`; at 0, it is the oldest alone. */
  take(seqLen: number): Document[] {
    const [oldest, ...others] = this.#documents;
    if (oldest === undefined) return [];
    const room = seqLen - sizeOf(oldest);
    const chosen = [oldest, ...bestFit(others, room)];
    const taken = new Set(chosen);
    this.#documents = this.#documents.filter((document) => !taken.has(document));
    for (const document of chosen) this.#tokens -= sizeOf(document);
    return chosen;
  }
}

/**
 * The documents whose lengths come closest to `room` without going over it: the subset-sum problem, solved exactly.
 * Among equals it prefers long documents, for short ones are what fills gaps later.
 */
function bestFit(documents: readonly Document[], room: number): Document[] {
  if (room <= 0) return [];
  const fitting = documents
    .filter((document) => sizeOf(document) <= room)
    .sort((a, b) => sizeOf(b) - sizeOf(a)); // stable: older first
  // last[sum]: 1 + the index of the document that first made that sum; what is left of the sum is of documents before it.
  const last = new Uint32Array(room + 1);
  let reach = 0;
  for (const [i, document] of fitting.entries()) {
    const length = sizeOf(document);
    for (let sum = Math.min(room, reach + length); sum >= length; sum--)
      if (last[sum] === 0 && (sum === length || last[sum - length] !== 0)) last[sum] = i + 1;
    reach = Math.min(room, reach + length);
    if (last[room] !== 0) break;
  }
  const chosen: Document[] = [];
  let sum = last.findLastIndex((index) => index !== 0);
  while (sum > 0) {
    const document = fitting[last[sum]! - 1]!;
    chosen.push(document);
    sum -= sizeOf(document);
  }
  return chosen;
}
