// How packed rows are divided among the ranks of a context group: each row in 2 x ranks chunks of equal length, of which rank r
// has chunk r and chunk 2 x ranks - 1 - r, so that every rank has early and late positions, and about the same work. Counts
// only: which token lies where, and which queries look at which keys. context-region.ts sends what is needed.
// Source: PyTorch's and torchtitan's context parallelism (torch.distributed.tensor.experimental.context_parallel).

/** Part of a document that one rank has: where it lies in the document, and among the rank's tokens. */
interface Piece {
  readonly document: number;
  /** From, up to but not including, in the document. */
  readonly from: number;
  readonly to: number;
  /** Where it begins among the rank's tokens. */
  readonly at: number;
}

/** Consecutive positions of a row: `from`, up to but not including `to`. */
export interface SequenceChunk {
  readonly row: number;
  readonly from: number;
  readonly to: number;
}

/** The length to which a row of `length` tokens is padded, so that all chunks are equal. */
export function paddedLength(length: number, ranks: number): number {
  return Math.ceil(length / (2 * ranks)) * 2 * ranks;
}

export class SequenceChunks {
  readonly ranks: number;
  /** Tokens of one rank. */
  readonly tokens: number;
  /** Each document: its row, and where it begins there and in all rows together. */
  readonly #documents: readonly { row: number; start: number; startOfAll: number; length: number }[];
  /** Tokens of a chunk of each row. */
  readonly #chunks: readonly number[];

  /** @param rows lengths of the documents of each row; a row's sum is a multiple of 2 x ranks (see paddedLength) */
  constructor(rows: readonly (readonly number[])[], ranks: number) {
    this.ranks = ranks;
    let startOfAll = 0;
    this.#documents = rows.flatMap((lengths, row) => {
      let start = 0;
      return lengths.map((length) => {
        const document = { row, start, startOfAll, length };
        start += length;
        startOfAll += length;
        return document;
      });
    });
    this.#chunks = rows.map((lengths) => lengths.reduce((sum, length) => sum + length, 0) / (2 * ranks));
    if (!this.#chunks.every(Number.isInteger))
      throw new RangeError(`rows of ${rows.map(String).join("; ")} tokens aren't multiples of 2 x ${ranks}`);
    this.tokens = startOfAll / ranks;
  }

  /** What a rank has, in the order in which it has it: of each row its chunk of the head, then that of the tail. */
  chunks(rank: number): SequenceChunk[] {
    return this.#chunks.flatMap((chunk, row) =>
      [rank, 2 * this.ranks - 1 - rank].map((i) => ({ row, from: i * chunk, to: (i + 1) * chunk })),
    );
  }

  /**
   * How all ranks' tokens, one rank's after the other's, become the rows again: the lengths to split them into, and the
   * order in which to put these together.
   */
  get joining(): { sizes: number[]; order: number[] } {
    const parts = Array.from({ length: this.ranks }, (_, rank) => this.chunks(rank)).flat();
    const order = parts
      .map((_, i) => i)
      .sort((a, b) => parts[a]!.row - parts[b]!.row || parts[a]!.from - parts[b]!.from);
    return { sizes: parts.map(({ from, to }) => to - from), order };
  }

  /** A rank's queries against the keys of the whole rows: each piece sees its document's up to its own end. */
  spansOfAll(rank: number): number[] {
    return this.#pieces(rank).flatMap(({ document, from, to, at }) => [
      at,
      to - from,
      this.#documents[document]!.startOfAll,
      to,
      from,
    ]);
  }

  /** A rank's queries against another rank's keys: of each document its pieces with those that don't all come later. */
  spansOfRank(rank: number, other: number): number[] {
    const keys = Map.groupBy(this.#pieces(other), ({ document }) => document);
    return this.#pieces(rank).flatMap((mine) =>
      (keys.get(mine.document) ?? [])
        .filter(({ from }) => from < mine.to)
        .flatMap(({ from, to, at }) => [mine.at, mine.to - mine.from, at, to - from, mine.from - from]),
    );
  }

  /** In the order of the documents, and so of the rank's tokens. */
  #pieces(rank: number): Piece[] {
    let at = 0;
    const held = this.chunks(rank).map((chunk) => {
      const placed = { ...chunk, at };
      at += chunk.to - chunk.from;
      return placed;
    });
    return this.#documents.flatMap(({ row, start, length }, document) =>
      held
        .filter((chunk) => chunk.row === row)
        .map((chunk) => {
          const from = Math.max(start, chunk.from);
          const to = Math.min(start + length, chunk.to);
          return { document, from: from - start, to: to - start, at: chunk.at + from - chunk.from };
        })
        .filter(({ from, to }) => from < to),
    );
  }
}
