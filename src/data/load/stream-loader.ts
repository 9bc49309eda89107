// The loader of a data set that is streamed: rows in the data's own order, read and tokenized a little ahead. What it keeps are the
// rows that are on their way; a resumed run reads from the oldest of those that wait in the buffer.
import { UserError } from "../../util/index.ts";
import type { RowStream } from "../source/stream.ts";
import type { StoredRow } from "../source/store.ts";
import { RowFeed, type FeedOptions } from "./feed.ts";
import { DataLoader, type LoaderOptions, type SavedPosition, type StatePosition } from "./loader.ts";
import type { PreparedRow } from "./prepare.ts";
import type { StreamPlace, StreamState } from "./stream-state.ts";
import type { DataIdentity } from "./token-key.ts";

const rowsAhead = 64;
/** Rows whose places are still known when they were given. */
const placesKept = 4096;

const beginning: StreamPlace = { epoch: 0, shard: 0, row: 0, index: 0 };

type Rows = ReturnType<RowStream["rows"]>;

export class StreamLoader extends DataLoader {
  readonly rows = undefined;
  readonly #stream: RowStream;
  readonly #feed: RowFeed;
  /** Rows that were read and not prepared yet, by their number, and what they were prepared to. */
  readonly #stored = new Map<number, StoredRow>();
  readonly #prepared = new Map<number, PreparedRow>();
  /** Where rows lie that were given not long ago, or wait. */
  readonly #places = new Map<number, StreamPlace & { readonly text: string }>();
  #rows: Rows | undefined;
  /** Numbers of the rows that come next. */
  #queue: number[] = [];
  #reading: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #hasEnded = false;
  /** Rows that were given, of all epochs. */
  #given = 0;
  #givenOfEpoch = 0;
  #next = beginning;
  #read: StreamState["read"] = {};

  constructor(
    stream: RowStream,
    feed: Pick<FeedOptions, "preparer" | "settings" | "useThread">,
    identity: { data: DataIdentity; now: number },
    options: LoaderOptions,
  ) {
    super(identity, options);
    this.#stream = stream;
    this.#feed = new RowFeed({
      ...feed,
      dataset: {
        get: (row) => this.#stored.get(row)!,
        formatOf: () => 0,
        formats: [stream.format],
        close: () => undefined,
      },
      cache: {
        get: (row) => this.#prepared.get(row),
        set: (row, prepared) => void (this.#stored.has(row) && this.#prepared.set(row, prepared)),
        save: () => undefined,
      },
    });
  }

  get epoch(): number {
    return this.#next.epoch + this.#next.shard / this.#stream.shards;
  }

  protected readonly rowsLeft = Infinity;

  get formats(): RowFeed["formats"] {
    return [this.#stream.format];
  }

  get extent(): string {
    const { shards } = this.#stream;
    return `streamed, ${shards} ${shards === 1 ? "file" : "files"}`;
  }

  placeOf(row: number): string {
    return this.#places.get(row)?.text ?? `row ${row} of the stream`;
  }

  async endThread(): Promise<void> {
    this.#begin();
    await this.#feed.endThread();
  }

  protected async nextRow(): Promise<number | undefined> {
    while (this.#queue.length === 0) {
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#hasEnded) return this.#atEnd();
      await this.#readAhead();
    }
    const row = this.#queue.shift()!;
    const { epoch, shard, row: at, index } = this.#places.get(row)!;
    this.#next = { epoch, shard, row: at + 1, index: index + 1 };
    this.#given = row + 1;
    this.#givenOfEpoch++;
    this.#places.delete(row - placesKept);
    void this.#readAhead();
    return row;
  }

  protected async prepared(row: number): Promise<PreparedRow> {
    const prepared = await this.#feed.get(row);
    this.#prepared.delete(row);
    this.#stored.delete(row);
    return prepared;
  }

  protected startNextEpoch(): void {
    this.#next = { ...beginning, epoch: this.#next.epoch + 1 };
    this.#read = {};
    this.#givenOfEpoch = 0;
    this.#begin();
  }

  protected position(waiting: readonly number[]): StatePosition {
    const places = waiting.map((row) => withoutText(this.#places.get(row)!));
    const { shards, limit } = this.#stream;
    const stream = { shards, limit, next: this.#next, waiting: places, read: this.#read };
    return { epoch: this.#next.epoch, position: this.#given, stream };
  }

  protected async seek({ position, buffer = [], stream }: SavedPosition): Promise<void> {
    this.#begin();
    this.#places.clear();
    this.#stored.clear();
    this.#prepared.clear();
    const { next = beginning, waiting = [], read = {} } = stream ?? {};
    this.#next = next;
    this.#read = read;
    this.#given = position;
    this.#givenOfEpoch = next.row + next.shard;
    // Rows of the buffer lie before the next one: they are read again, those of an earlier epoch by themselves.
    let wanted = waiting.map((place, i) => ({ place, row: buffer[i]! }));
    for (; wanted.length > 0;) {
      const { place: first } = wanted[0]!;
      const isThisEpoch = first.epoch === next.epoch;
      const rows = this.#stream.rows(first, this.options, isThisEpoch ? read : {});
      while (wanted[0]?.place.epoch === first.epoch) {
        const { value: found } = await rows.next();
        if (found === undefined) throw new Error("a row of the stream's buffer isn't there any more");
        if (!isSame(found.place, wanted[0].place)) continue;
        this.#keep(wanted[0].row, found.place, found.stored);
        wanted = wanted.slice(1);
      }
      // Those between the last that waits and the next one are done; #readAhead passes over them.
      if (isThisEpoch) this.#rows = rows;
      else await rows.return(undefined);
    }
    this.#feed.request(buffer);
  }

  protected async end(reading: Promise<unknown>): Promise<void> {
    await this.#feed.close(reading);
    this.#begin();
  }

  #atEnd(): undefined {
    const { rank, worldSize, key } = this.options;
    if (this.#givenOfEpoch === 0 && Object.keys(this.#read).length === 0)
      throw new UserError(
        `${key}: the stream has no row for data-parallel rank ${rank} of ${worldSize}; give more rows, or lower ` +
          "parallelism.data_parallel_replicate_degree or data_parallel_shard_degree",
        { exitCode: 2 },
      );
    return undefined;
  }

  /** Lets go of what was read ahead, so that reading begins at `#next`. */
  #begin(): void {
    for (const row of this.#queue) {
      this.#stored.delete(row);
      this.#prepared.delete(row);
    }
    this.#queue = [];
    this.#feed.forget();
    this.#failure = undefined;
    this.#hasEnded = false;
    const rows = this.#rows;
    this.#rows = undefined;
    this.#reading = undefined;
    // What it is waiting for ends by itself; an error in it concerns nobody any more.
    void rows?.return(undefined).catch(() => undefined);
  }

  /** Reads some rows more, one call at a time. */
  #readAhead(): Promise<void> {
    if (this.#reading !== undefined) return this.#reading;
    if (this.#hasEnded || this.#queue.length > rowsAhead / 2) return Promise.resolve();
    const rows = (this.#rows ??= this.#stream.rows(this.#next, this.options, this.#read));
    const reading = this.#readFrom(rows).finally(() => {
      if (this.#reading === reading) this.#reading = undefined;
    });
    return (this.#reading = reading);
  }

  async #readFrom(rows: Rows): Promise<void> {
    const from = this.#next;
    const added: number[] = [];
    try {
      while (this.#queue.length < rowsAhead) {
        const { value: found } = await rows.next();
        if (rows !== this.#rows) return; // it was stopped meanwhile
        if (found === undefined) {
          this.#hasEnded = true;
          break;
        }
        if (isBefore(found.place, from)) continue;
        const row = this.#given + this.#queue.length;
        this.#keep(row, found.place, found.stored);
        this.#queue.push(row);
        added.push(row);
      }
    } catch (error) {
      if (rows !== this.#rows) return;
      this.#failure = { error };
      this.#hasEnded = true;
    }
    this.#feed.request(added.filter((row) => this.#stored.has(row)));
  }

  #keep(row: number, place: StreamPlace, stored: StoredRow): void {
    this.#stored.set(row, stored);
    this.#places.set(row, { ...place, text: `${stored.file}:${stored.line}` });
  }
}

const withoutText = ({ epoch, shard, row, index }: StreamPlace): StreamPlace => ({
  epoch,
  shard,
  row,
  index,
});

const isSame = (a: StreamPlace, b: StreamPlace): boolean => a.shard === b.shard && a.row === b.row;

const isBefore = (a: StreamPlace, b: StreamPlace): boolean =>
  a.shard < b.shard || (a.shard === b.shard && a.row < b.row);
