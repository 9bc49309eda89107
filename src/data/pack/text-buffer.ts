// Fills sequences with documents as they follow each other, as pre-training on text does: no gap, and a document that a sequence
// cuts goes on in the next one (`training.on_overlong: split`). A piece begins with the last token of the one before, so that of
// every document each token but the first is predicted exactly once.
import { sliceColumns } from "../columns.ts";
import type { Document } from "./batch.ts";
import type { DocumentBuffer } from "./pack.ts";

const sizeOf = ({ columns }: Document): number => columns.tokens.length;

export class TextBuffer implements DocumentBuffer {
  /** What is left of the first one begins at `offset`. */
  #documents: Document[] = [];
  #tokens = 0;
  #offset = 0;

  get size(): number {
    return this.#documents.length;
  }

  get rows(): number[] {
    return this.#documents.map(({ row }) => row);
  }

  /** Tokens of the oldest document that lie in sequences already. */
  get offset(): number {
    return this.#offset;
  }

  isFull(seqLen: number): boolean {
    return this.#tokens - this.#offset >= seqLen;
  }

  add(document: Document): void {
    this.#documents.push(document);
    this.#tokens += sizeOf(document);
  }

  skip(offset: number): void {
    this.#offset = offset;
  }

  /** What comes next, up to `seqLen` tokens. */
  take(seqLen: number): Document[] {
    const taken: Document[] = [];
    let room = seqLen;
    // A piece of one token predicts nothing.
    while (room > 1 && this.#documents.length > 0) {
      const first = this.#documents[0]!;
      const end = Math.min(sizeOf(first), this.#offset + room);
      taken.push({ row: first.row, columns: sliceColumns(first.columns, this.#offset, end) });
      room -= end - this.#offset;
      if (end < sizeOf(first)) {
        this.#offset = end - 1;
        break;
      }
      this.#documents.shift();
      this.#tokens -= end;
      this.#offset = 0;
    }
    return taken;
  }
}
