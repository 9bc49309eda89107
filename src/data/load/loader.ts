// The stateful loader: batches without end, the same for the same seed, and the same after a resume as without one.
// Its state is small and fit for JSON: rows by number, the packing buffer among them, never tokens.
import { UserError } from "../../util/index.ts";
import { makeBatch, type Batch, type Document } from "../pack/batch.ts";
import type { RowFeed } from "./feed.ts";
import { fitRow, nothingTrained, type FitOptions } from "../pack/fit.ts";
import { Ledger, type LedgerState } from "./ledger.ts";
import { RowOrder } from "./order.ts";
import { PackBuffer } from "../pack/pack.ts";
import { changedParts, type DataIdentity } from "./token-key.ts";

export interface LoaderOptions extends FitOptions {
  /** Sequences of a batch. */
  readonly batchSize: number;
  /** Several documents in a sequence of `seqLen`; false: one each, padded to the longest of the batch. */
  readonly packed: boolean;
  readonly onBadRow: "error" | "skip";
  /** What messages call `onBadRow`. Default `training.on_bad_row`. */
  readonly onBadRowKey?: string;
  readonly seed: number;
  readonly shuffle: boolean;
  /** Start another epoch after the last row; false: one epoch, then `next` gives undefined. */
  readonly endless: boolean;
  readonly rank: number;
  readonly worldSize: number;
  /** The configuration key of the data, for messages. */
  readonly key: string;
  /** Told once when many rows have nothing to train. */
  readonly onWarning: (message: string) => void;
}

const stateVersion = 2;

/** A loader's position. Survives JSON unchanged. */
export interface LoaderState {
  readonly version: typeof stateVersion;
  /** Of the rows, the tokenizer, the template and the settings: a loader of others can't resume from it. */
  readonly data: DataIdentity;
  /** How many rows there were, to say that some were added; missing in older states. */
  readonly rows?: number;
  /** What the chat template takes for today. */
  readonly now: number;
  readonly seed: number;
  readonly rank: number;
  readonly worldSize: number;
  readonly epoch: number;
  /** Rows of the epoch that were read. */
  readonly position: number;
  /** Rows that were read and wait in the packing buffer, oldest first. */
  readonly buffer: readonly number[];
  readonly ledger: LedgerState;
}

const rowsAhead = 512;
const rowsBeforeWarning = 256;
const untrainedShareToWarnOf = 0.05;

/** Gives batches. One at a time: `next` waits for the one before it. */
export class DataLoader {
  readonly #feed: RowFeed;
  readonly #options: LoaderOptions;
  readonly #order: RowOrder;
  readonly #identity: { readonly data: DataIdentity; readonly now: number };
  #buffer = new PackBuffer();
  #ledger = new Ledger();
  #hasWarned = false;
  readonly #told = new Set<string>();
  #requested = 0;
  #isClosed = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(
    feed: RowFeed,
    rows: number,
    identity: { data: DataIdentity; now: number },
    options: LoaderOptions,
  ) {
    this.#feed = feed;
    this.rows = rows;
    this.#options = options;
    this.#identity = identity;
    this.#order = new RowOrder({ rows, ...options });
  }

  /** What became of the rows read so far, over all epochs. */
  get ledger(): Ledger {
    return this.#ledger;
  }

  /** Epochs read so far, with the fraction of the current one. */
  get epoch(): number {
    return this.#order.epoch + this.#order.position / this.#order.rowsPerEpoch;
  }

  /** How the rows of each source are read: its format as given, or as it was found. */
  get formats(): RowFeed["formats"] {
    return this.#feed.formats;
  }

  /** Rows of the data set, over all ranks. */
  readonly rows: number;

  /** Rows that this rank sees in an epoch. */
  get rowsPerEpoch(): number {
    return this.#order.rowsPerEpoch;
  }

  /**
   * The next batch; `undefined` at the end where the loader isn't endless. The last one of an epoch may then have
   * fewer sequences than `batchSize`.
   * @throws UserError for a bad or over-long row where such rows are errors, when no row can be trained, and after `close`.
   */
  next(): Promise<Batch | undefined> {
    if (this.#isClosed)
      return Promise.reject(new UserError("next(): the loader is closed; open another one"));
    const next = this.#last.then(() => this.#next());
    this.#last = next.catch(() => undefined);
    return next;
  }

  /**
   * Reads up to the first row that can be trained, to find out whether there is one before a model is loaded. The batches
   * stay the same, and the thread keeps tokenizing ahead of the first one.
   * @throws UserError as `next` would
   */
  findTrainable(): Promise<void> {
    const found = this.#last.then(async () => {
      while (this.#buffer.size === 0 && (await this.#readRow()));
    });
    this.#last = found.catch(() => undefined);
    return found;
  }

  /**
   * The batch that `next` will return, without taking it: the position stays the same.
   * @throws UserError as `next` would
   */
  peek(): Promise<Batch | undefined> {
    const peek = this.#last.then(async () => {
      const before = this.stateDict();
      const batch = await this.#next();
      await this.loadStateDict(before);
      return batch;
    });
    this.#last = peek.catch(() => undefined);
    return peek;
  }

  /** The position after the batches returned so far. Not while a `next` or `peek` is running. */
  stateDict(): LoaderState {
    const { seed, rank, worldSize } = this.#options;
    const { epoch, position } = this.#order;
    const { state: ledger } = this.#ledger;
    return {
      version: stateVersion,
      ...this.#identity,
      rows: this.rows,
      seed,
      rank,
      worldSize,
      epoch,
      position,
      buffer: this.#buffer.rows,
      ledger,
    };
  }

  /**
   * Resumes from a saved state: the next batch is the one that would have come.
   * @throws UserError when the state is of other data, another seed or another rank.
   */
  async loadStateDict(state: LoaderState): Promise<void> {
    const { seed, rank, worldSize } = this.#options;
    const differs = (what: string, expected: unknown, found: unknown): UserError =>
      cantResume(`${what}: expected ${String(expected)}, as when it was saved, found ${String(found)}`);
    if (state.version !== stateVersion)
      throw cantResume(
        `version of its state: expected ${stateVersion}, found ${state.version}: another version of torchforge saved it`,
      );
    if (state.seed !== seed) throw differs("training.data_seed", state.seed, seed);
    if (state.worldSize !== worldSize)
      throw differs("number of data-parallel ranks", state.worldSize, worldSize);
    if (state.rank !== rank) throw differs("data-parallel rank", state.rank, rank);
    const changed = changedParts(state.data, this.#identity.data);
    const { rows = this.rows } = state;
    const counted = `. Rows were ${rows < this.rows ? "added" : "taken away"}: ${rows} then, ${this.rows} now`;
    if (changed !== undefined)
      throw cantResume(
        `since it was saved, these have changed: ${changed}${rows === this.rows ? "" : counted}`,
      );
    this.#order.seek(state.epoch, state.position);
    this.#ledger = new Ledger(state.ledger);
    this.#buffer = new PackBuffer();
    this.#requested = 0;
    this.#feed.request(state.buffer);
    for (const row of state.buffer) {
      const fitted = fitRow(await this.#feed.get(row), this.#options);
      if (fitted.columns) this.#buffer.add({ row, columns: fitted.columns });
    }
  }

  /** FILE:LINE of a row. */
  placeOf(row: number): string {
    return this.#feed.placeOf(row);
  }

  /** Back to the first row, with nothing counted. Tokenized rows are kept. Not while a `next` or `peek` is running. */
  rewind(): void {
    this.#order.seek(0, 0);
    this.#ledger = new Ledger();
    this.#buffer = new PackBuffer();
    this.#requested = 0;
  }

  /** Ends the thread that tokenizes, and writes the token cache, for a loader that is only read again from where it began. */
  async endThread(): Promise<void> {
    await this.#feed.endThread();
  }

  /** Ends the thread that tokenizes, writes the token cache and closes the data, after a `next` that is running. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#feed.close(this.#last);
  }

  async #next(): Promise<Batch | undefined> {
    const { batchSize, packed, seqLen } = this.#options;
    const sequences: Document[][] = [];
    while (sequences.length < batchSize) {
      if (packed) {
        while (!this.#buffer.isFull(seqLen)) if (!(await this.#readRow())) break;
      } else if (this.#buffer.size === 0) {
        while (this.#buffer.size === 0) if (!(await this.#readRow())) break;
      }
      const documents = this.#buffer.take(packed ? seqLen : 0); // at 0, the oldest alone
      if (documents.length === 0) break;
      sequences.push(documents);
    }
    if (sequences.length === 0) return undefined;
    const longest = Math.max(...sequences.map(([document]) => document!.columns.tokens.length));
    return makeBatch(sequences, packed ? seqLen : longest);
  }

  /** Reads one row into the buffer, or counts why not. False at the end. */
  async #readRow(): Promise<boolean> {
    if (this.#order.isAtEpochEnd) {
      this.#checkTrainable();
      if (!this.#options.endless) return false;
      this.#order.startNextEpoch();
      this.#requested = 0;
    }
    this.#requestAhead();
    const row = this.#order.take();
    this.#requested = Math.max(0, this.#requested - 1);
    const fitted = fitRow(await this.#feed.get(row), this.#options);
    const place = (): string => this.#feed.placeOf(row);
    if (fitted.fate.kind === "bad" && (this.#options.onBadRow === "error" || fitted.isOverlongError))
      throw badRowError(
        place(),
        fitted.fate.reason,
        fitted.isOverlongError ?? false,
        this.#options.onBadRowKey,
      );
    this.#ledger.count(fitted.fate, place, fitted.leftOut);
    this.#tellLeftOut(fitted.leftOut ?? [], place);
    if (fitted.columns) this.#buffer.add({ row, columns: fitted.columns });
    if (this.#ledger.rows === rowsBeforeWarning) this.#warnOfUntrained();
    return true;
  }

  /** Keeps the thread some hundred rows ahead, asked for in blocks. */
  #requestAhead(): void {
    if (this.#requested > rowsAhead / 2) return;
    const rows = this.#order.ahead(this.#requested, rowsAhead - this.#requested);
    this.#feed.request(rows);
    this.#requested += rows.length;
  }

  #checkTrainable(): void {
    const { trained, truncated, rows, reasons } = this.#ledger;
    if (trained + truncated > 0) return this.#warnOfUntrained();
    const why = reasons.map((r) => `${r.rows} rows: ${r.reason} (${r.examples.slice(0, 2).join(", ")})`);
    throw new UserError(
      `${this.#options.key}: none of its ${rows} rows can be trained, so the run would learn nothing. ${why.join("; ")}. ` +
        "`forge data preview` shows what is trained; training.train_on and training.datasets[].format say what should be.",
      { exitCode: 2 },
    );
  }

  /** Each kind once, at its first row. */
  #tellLeftOut(leftOut: readonly string[], place: () => string): void {
    for (const what of leftOut) {
      if (this.#told.has(what)) continue;
      this.#told.add(what);
      this.#options.onWarning(
        `${place()}: ${what}, so such rows are trained without it. \`forge data stats\` counts them; ` +
          "model.chat_template takes another template.",
      );
    }
  }

  #warnOfUntrained(): void {
    const { rows, reasons } = this.#ledger;
    const untrained = reasons.find((r) => r.kind === "dropped" && r.reason === nothingTrained);
    if (this.#hasWarned || untrained === undefined || untrained.rows < untrainedShareToWarnOf * rows) return;
    this.#hasWarned = true;
    this.#options.onWarning(
      `${untrained.rows} of the first ${rows} rows have nothing to train and are dropped (${untrained.examples.join(", ")}). ` +
        "`forge data stats` counts them all; training.train_on says what is trained.",
    );
  }
}

const cantResume = (why: string): UserError =>
  new UserError(
    `the checkpoint's data position can't be used: ${why}. To begin the data anew, set checkpoint.exclude_from_loading: [dataloader]`,
    { exitCode: 2 },
  );

function badRowError(
  place: string,
  reason: string,
  isOverlong: boolean,
  key = "training.on_bad_row",
): UserError {
  const advice = isOverlong
    ? "Raise training.seq_len, or set training.on_overlong to truncate or drop"
    : `Mend the row, or leave such rows out and count them with ${key}: skip`;
  return new UserError(`${place}: ${reason}. ${advice}.`);
}
