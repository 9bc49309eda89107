// The stateful loader: batches without end, the same for the same seed, and the same after a resume as without one.
// Its state is small and fit for JSON: rows by number, the packing buffer among them, never tokens. Which row comes next is the
// matter of its two kinds: numbered-loader.ts and stream-loader.ts.
import { UserError } from "../../util/index.ts";
import { makeBatch, type Batch, type Document } from "../pack/batch.ts";
import { fitRow, nothingTrained, type FitOptions } from "../pack/fit.ts";
import { Ledger, type LedgerState } from "./ledger.ts";
import { PackBuffer, type DocumentBuffer } from "../pack/pack.ts";
import { TextBuffer } from "../pack/text-buffer.ts";
import type { SourceFormat } from "../source/dataset.ts";
import { cantResume, checkLoaderState } from "./state-check.ts";
import type { StreamState } from "./stream-state.ts";
import type { PreparedRow } from "./prepare.ts";
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
  /** How often the run trains each row: once they all are read, those that wait go into sequences before any further one. */
  readonly epochs?: number | undefined;
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
  /** Rows of the epoch that were read; of a stream, rows that were read in all epochs. */
  readonly position: number;
  /** Rows that were read and wait in the packing buffer, oldest first. */
  readonly buffer: readonly number[];
  /** Tokens of the oldest of these that lie in sequences already. */
  readonly offset?: number;
  readonly ledger: LedgerState;
  /** Where the rows of a stream lie. */
  readonly stream?: StreamState;
}

/** The state's part that a kind of loader adds. */
export type StatePosition = Pick<LoaderState, "epoch" | "position" | "stream">;

/** With the rows of the buffer, oldest first. */
export type SavedPosition = StatePosition & Partial<Pick<LoaderState, "buffer">>;

const rowsBeforeWarning = 256;
const untrainedShareToWarnOf = 0.05;
const batchesBetweenTurns = 16;

/** Gives batches. One at a time: `next` waits for the one before it. */
export abstract class DataLoader {
  protected readonly options: LoaderOptions;
  readonly #identity: { readonly data: DataIdentity; readonly now: number };
  #buffer: DocumentBuffer;
  #ledger = new Ledger();
  #hasWarned = false;
  readonly #told = new Set<string>();
  #isClosed = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(identity: { data: DataIdentity; now: number }, options: LoaderOptions) {
    this.options = options;
    this.#identity = identity;
    this.#buffer = this.#newBuffer();
  }

  /** Epochs read so far, with the fraction of the current one. */
  abstract readonly epoch: number;

  /** How the rows of each source are read: its format as given, or as it was found. */
  abstract readonly formats: readonly SourceFormat[];

  /** Of the data set, over all ranks; undefined where they aren't counted. */
  abstract readonly rows: number | undefined;

  /** How much data there is, for people. */
  abstract readonly extent: string;

  /** How many rows are left until `options.epochs` are read: below 0 after it. Infinity without it. */
  protected abstract readonly rowsLeft: number;

  /** FILE:LINE of a row. */
  abstract placeOf(row: number): string;

  /** Ends the thread that tokenizes, and writes the token cache, for a loader that is only read again from where it began. */
  abstract endThread(): Promise<void>;

  /** The next row of the epoch; undefined at its end. */
  protected abstract nextRow(): Promise<number | undefined>;

  /** A row that was given lately. It is asked for once, and again only after `seek`. */
  protected abstract prepared(row: number): Promise<PreparedRow>;

  protected abstract startNextEpoch(): void;

  protected abstract position(waiting: readonly number[]): StatePosition;

  /** Goes to a saved position; the rows of `state.buffer` are asked for next. */
  protected abstract seek(state: SavedPosition): Promise<void>;

  protected abstract end(reading: Promise<unknown>): Promise<void>;

  /** What became of the rows read so far, over all epochs. */
  get ledger(): Ledger {
    return this.#ledger;
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

  /**
   * How many batches it takes until every row of `options.epochs` has been in one. Reads (and tokenizes) the rows, and goes
   * back: the position stays the same.
   * @param onProgress told now and then what share of the rows has been read
   * @throws UserError as `next` would
   */
  countBatches(onProgress: (share: number) => void = () => {}): Promise<number> {
    const count = this.#last.then(async () => {
      const before = this.stateDict();
      const all = this.rowsLeft;
      let batches = 0;
      while (this.rowsLeft > 0 || (this.rowsLeft === 0 && this.#buffer.size > 0)) {
        await this.#next();
        if (++batches % batchesBetweenTurns !== 0) continue;
        onProgress(1 - this.rowsLeft / all);
        await new Promise((resolve) => setImmediate(resolve)); // signals and messages are heard
      }
      await this.loadStateDict(before);
      return batches;
    });
    this.#last = count.catch(() => undefined);
    return count;
  }

  /** The position after the batches returned so far. Not while a `next` or `peek` is running. */
  stateDict(): LoaderState {
    const { seed, rank, worldSize } = this.options;
    const { rows: buffer, offset } = this.#buffer;
    return {
      version: stateVersion,
      ...this.#identity,
      ...(this.rows !== undefined && { rows: this.rows }),
      seed,
      rank,
      worldSize,
      ...this.position(buffer),
      buffer,
      ...(offset > 0 && { offset }),
      ledger: this.#ledger.state,
    };
  }

  /**
   * Resumes from a saved state: the next batch is the one that would have come.
   * @throws UserError when the state is of other data, another seed or another rank.
   */
  async loadStateDict(state: LoaderState): Promise<void> {
    this.#checkState(state);
    this.#ledger = new Ledger(state.ledger);
    this.#buffer = this.#newBuffer();
    await this.seek(state);
    for (const row of state.buffer) {
      const fitted = fitRow(await this.prepared(row), this.options);
      if (fitted.columns) this.#buffer.add({ row, columns: fitted.columns });
    }
    this.#buffer.skip(state.offset ?? 0);
  }

  /** Back to the first row, with nothing counted. Tokenized rows are kept. Not while a `next` or `peek` is running. */
  async rewind(): Promise<void> {
    this.#ledger = new Ledger();
    this.#buffer = this.#newBuffer();
    await this.seek({ epoch: 0, position: 0 });
  }

  /** Ends the thread that tokenizes, writes the token cache and closes the data, after a `next` that is running. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.end(this.#last);
  }

  #newBuffer(): DocumentBuffer {
    return this.options.onOverlong === "split" ? new TextBuffer() : new PackBuffer();
  }

  #checkState(state: LoaderState): void {
    checkLoaderState(state);
    const { seed, rank, worldSize } = this.options;
    const differs = (what: string, expected: unknown, found: unknown): UserError =>
      cantResume(`${what}: expected ${String(expected)}, as when it was saved, found ${String(found)}`);
    if (state.version !== stateVersion)
      throw cantResume(
        `version of its state: expected ${stateVersion}, found ${String(state.version)}: another version of torchforge saved it`,
      );
    if (state.seed !== seed) throw differs("training.data_seed", state.seed, seed);
    if (state.worldSize !== worldSize)
      throw differs("number of data-parallel ranks", state.worldSize, worldSize);
    if (state.rank !== rank) throw differs("data-parallel rank", state.rank, rank);
    const changed = changedParts(state.data, this.#identity.data);
    const { rows = this.rows } = state;
    const counted =
      rows === undefined || this.rows === undefined || rows === this.rows
        ? ""
        : `. Rows were ${rows < this.rows ? "added" : "taken away"}: ${rows} then, ${this.rows} now`;
    if (changed !== undefined)
      throw cantResume(`since it was saved, these have changed: ${changed}${counted}`);
    if (state.stream !== undefined || this.rows === undefined) return;
    const absent = state.buffer.find((row) => row >= this.rows!);
    if (absent !== undefined) throw cantResume(`buffer: expected rows below ${this.rows}, found ${absent}`);
    const most = Math.ceil(this.rows / worldSize);
    if (state.position > most)
      throw cantResume(`position: expected at most the ${most} rows of an epoch, found ${state.position}`);
  }

  async #next(): Promise<Batch | undefined> {
    const { batchSize, packed, seqLen } = this.options;
    const sequences: Document[][] = [];
    while (sequences.length < batchSize) {
      if (packed) {
        // What fills up the last step of the run's epochs is read as it is needed: more would be of epochs to come.
        while (!this.#buffer.isFull(seqLen, this.rowsLeft < 0)) if (!(await this.#readRow())) break;
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
    if (this.rowsLeft === 0 && this.#buffer.size > 0) return false;
    let row = await this.nextRow();
    if (row === undefined) {
      this.#checkTrainable();
      if (!this.options.endless) return false;
      this.startNextEpoch();
      row = await this.nextRow();
      if (row === undefined) return false;
    }
    const at = row;
    const fitted = fitRow(await this.prepared(at), this.options);
    const place = (): string => this.placeOf(at);
    if (fitted.fate.kind === "bad" && (this.options.onBadRow === "error" || fitted.isOverlongError))
      throw badRowError(
        place(),
        fitted.fate.reason,
        fitted.isOverlongError ?? false,
        this.options.onBadRowKey,
      );
    this.#ledger.count(fitted.fate, place, fitted.leftOut);
    this.#tellLeftOut(fitted.leftOut ?? [], place);
    if (fitted.columns) this.#buffer.add({ row: at, columns: fitted.columns });
    if (this.#ledger.rows === rowsBeforeWarning) this.#warnOfUntrained();
    return true;
  }

  #checkTrainable(): void {
    const { trained, truncated, rows, reasons } = this.#ledger;
    if (trained + truncated > 0) return this.#warnOfUntrained();
    const why = reasons.map((r) => `${r.rows} rows: ${r.reason} (${r.examples.slice(0, 2).join(", ")})`);
    throw new UserError(
      `${this.options.key}: none of its ${rows} rows can be trained, so the run would learn nothing. ${why.join("; ")}. ` +
        "`forge data preview` shows what is trained; training.train_on and training.datasets[].format say what should be.",
      { exitCode: 2 },
    );
  }

  /** Each kind once, at its first row. */
  #tellLeftOut(leftOut: readonly string[], place: () => string): void {
    for (const what of leftOut) {
      if (this.#told.has(what)) continue;
      this.#told.add(what);
      this.options.onWarning(
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
    this.options.onWarning(
      `${untrained.rows} of the first ${rows} rows have nothing to train and are dropped (${untrained.examples.join(", ")}). ` +
        "`forge data stats` counts them all; training.train_on says what is trained.",
    );
  }
}

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
