// Chooses which documents share a sequence: best fit within a bounded buffer. The oldest document always goes first,
// so none waits for ever; then, again and again, the longest that still fits. Ties go to the older. No randomness:
// the same buffer gives the same packs, which is what makes a resume exact.
import type { Document } from "./batch.ts";

/** Documents that wait to be packed, oldest first. */
export class PackBuffer {
  readonly #documents: Document[] = [];
  #tokens = 0;

  get size(): number {
    return this.#documents.length;
  }

  /** Tokens of all documents that wait. */
  get tokens(): number {
    return this.#tokens;
  }

  /** Rows of the documents that wait, oldest first. */
  get rows(): number[] {
    return this.#documents.map(({ row }) => row);
  }

  add(document: Document): void {
    this.#documents.push(document);
    this.#tokens += document.ids.length;
  }

  /** Takes the documents of one sequence out of the buffer. None may be longer than `seqLen`; at 0, it is the oldest alone. */
  take(seqLen: number): Document[] {
    const chosen: Document[] = [];
    let room = seqLen;
    let next = this.#documents.length > 0 ? 0 : -1;
    while (next !== -1) {
      const [document] = this.#documents.splice(next, 1) as [Document];
      chosen.push(document);
      room -= document.ids.length;
      this.#tokens -= document.ids.length;
      next = this.#longestWithin(room);
    }
    return chosen;
  }

  #longestWithin(room: number): number {
    let best = -1;
    let bestLength = 0;
    for (const [i, { ids }] of this.#documents.entries()) {
      if (ids.length <= room && ids.length > bestLength) {
        best = i;
        bestLength = ids.length;
      }
    }
    return best;
  }
}
