// The loader of data sets whose rows have numbers: epochs without end, each a seeded shuffle of all rows (order.ts).
import type { RowFeed } from "./feed.ts";
import { DataLoader, type LoaderOptions, type SavedPosition, type StatePosition } from "./loader.ts";
import { RowOrder } from "./order.ts";
import type { PreparedRow } from "./prepare.ts";
import type { DataIdentity } from "./token-key.ts";

const rowsAhead = 512;

export class NumberedLoader extends DataLoader {
  readonly rows: number;
  readonly #feed: RowFeed;
  readonly #order: RowOrder;
  #requested = 0;

  constructor(
    feed: RowFeed,
    rows: number,
    identity: { data: DataIdentity; now: number },
    options: LoaderOptions,
  ) {
    super(identity, options);
    this.#feed = feed;
    this.rows = rows;
    this.#order = new RowOrder({ rows, ...options });
  }

  get epoch(): number {
    return this.#order.epoch + this.#order.position / this.#order.rowsPerEpoch;
  }

  protected get rowsLeft(): number {
    const { epoch, position, rowsPerEpoch } = this.#order;
    const { epochs = Infinity } = this.options;
    return Math.ceil(epochs * rowsPerEpoch) - (epoch * rowsPerEpoch + position);
  }

  get formats(): RowFeed["formats"] {
    return this.#feed.formats;
  }

  get extent(): string {
    return `${this.rows} rows`;
  }

  placeOf(row: number): string {
    return this.#feed.placeOf(row);
  }

  async endThread(): Promise<void> {
    await this.#feed.endThread();
  }

  protected nextRow(): Promise<number | undefined> {
    if (this.#order.isAtEpochEnd) return Promise.resolve(undefined);
    this.#requestAhead();
    const row = this.#order.take();
    this.#requested = Math.max(0, this.#requested - 1);
    return Promise.resolve(row);
  }

  protected async prepared(row: number): Promise<PreparedRow> {
    return await this.#feed.get(row);
  }

  protected startNextEpoch(): void {
    this.#order.startNextEpoch();
    this.#requested = 0;
  }

  protected position(): StatePosition {
    const { epoch, position } = this.#order;
    return { epoch, position };
  }

  protected seek({ epoch, position, buffer = [] }: SavedPosition): Promise<void> {
    this.#order.seek(epoch, position);
    this.#requested = 0;
    this.#feed.request(buffer);
    return Promise.resolve();
  }

  protected async end(reading: Promise<unknown>): Promise<void> {
    await this.#feed.close(reading);
  }

  /** Keeps the thread some hundred rows ahead, asked for in blocks. */
  #requestAhead(): void {
    if (this.#requested > rowsAhead / 2) return;
    const rows = this.#order.ahead(this.#requested, rowsAhead - this.#requested);
    this.#feed.request(rows);
    this.#requested += rows.length;
  }
}
