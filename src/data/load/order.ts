// Which row comes next for one data-parallel rank: epochs without end, each a seeded shuffle of all rows, of which the
// rank takes every worldSize-th. Ranks that share data (tensor, pipeline, context) have the same rank number here.
import { UserError } from "../../util/index.ts";
import { shuffledOrder } from "./random.ts";

export interface OrderOptions {
  readonly rows: number;
  /** The configuration key of the data, for messages. */
  readonly key: string;
  readonly seed: number;
  readonly shuffle: boolean;
  /** Data-parallel rank, from 0. */
  readonly rank: number;
  /** Number of data-parallel ranks. */
  readonly worldSize: number;
}

/** A position in the endless sequence of one rank's rows. */
export class RowOrder {
  readonly #options: OrderOptions;
  #order: Uint32Array | undefined;
  #epoch = 0;
  #position = 0;

  /** @throws UserError when a rank would never get a row, this one or another. */
  constructor(options: OrderOptions) {
    this.#options = options;
    if (options.rows < options.worldSize)
      throw new UserError(
        `${options.key}: ${options.rows} rows are fewer than the ${options.worldSize} data-parallel ranks; give more rows, ` +
          "or lower parallelism.data_parallel_replicate_degree or data_parallel_shard_degree",
        { exitCode: 2 },
      );
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Rows of this epoch that were taken. */
  get position(): number {
    return this.#position;
  }

  /** Rows that this rank sees in an epoch. */
  get rowsPerEpoch(): number {
    const { rows, rank, worldSize } = this.#options;
    return Math.max(0, Math.ceil((rows - rank) / worldSize));
  }

  get isAtEpochEnd(): boolean {
    return this.#position >= this.rowsPerEpoch;
  }

  seek(epoch: number, position: number): void {
    if (epoch !== this.#epoch) this.#order = undefined;
    this.#epoch = epoch;
    this.#position = position;
  }

  /** The next row of this epoch. */
  take(): number {
    return this.#at(this.#position++);
  }

  /** Up to `count` rows that come `from` rows after the next, within this epoch. */
  ahead(from: number, count: number): number[] {
    const start = this.#position + from;
    const end = Math.min(start + count, this.rowsPerEpoch);
    return Array.from({ length: Math.max(0, end - start) }, (_, i) => this.#at(start + i));
  }

  startNextEpoch(): void {
    this.seek(this.#epoch + 1, 0);
  }

  #at(position: number): number {
    const { rows, seed, shuffle, rank, worldSize } = this.#options;
    const index = rank + position * worldSize;
    if (!shuffle) return index;
    this.#order ??= shuffledOrder(rows, seed, this.#epoch);
    return this.#order[index]!;
  }
}
