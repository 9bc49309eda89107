// Prepared rows by number, tokenized ahead in a worker thread. A row that is needed before the thread has started is
// prepared on the main thread, so the first batch waits for no more rows than it needs. Both give the same result.
import { Worker } from "node:worker_threads";

import { requireProgram } from "../../util/index.ts";
import type { Dataset } from "../source/dataset.ts";
import type { PrepareReply, PrepareRequest } from "./prepare-worker.ts";
import type { PreparedRow, Preparer, PrepareSettings } from "./prepare.ts";
import type { TokenCache } from "./token-cache.ts";

const rowsPerRequest = 32;

export interface FeedOptions {
  readonly dataset: Pick<Dataset, "get" | "formatOf" | "formats" | "close">;
  readonly preparer: Preparer;
  readonly settings: PrepareSettings;
  readonly cache: Pick<TokenCache, "get" | "set" | "save">;
  /** Whether to tokenize ahead in a thread. */
  readonly useThread: boolean;
}

/** Prepares rows of a data set, ahead of their use. */
export class RowFeed {
  readonly #options: FeedOptions;
  readonly #pending = new Map<number, PromiseWithResolvers<PreparedRow | undefined>>();
  #worker: Worker | undefined;
  #isReady = false;
  #useThread: boolean;
  /** Of the rows' numbers: what was asked for before they were given anew is of no use. */
  #generation = 0;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#useThread = options.useThread;
  }

  /** How the rows of each source are read. */
  get formats(): Dataset["formats"] {
    return this.#options.dataset.formats;
  }

  /** Requests rows that will be needed soon. */
  request(rows: readonly number[]): void {
    if (!this.#useThread) return;
    const { cache, dataset } = this.#options;
    const missing = rows.filter((row) => cache.get(row) === undefined && !this.#pending.has(row));
    for (let i = 0; i < missing.length; i += rowsPerRequest) {
      const some = missing.slice(i, i + rowsPerRequest);
      const request: PrepareRequest = {
        generation: this.#generation,
        rows: some.map((row) => ({ row, format: dataset.formatOf(row), stored: dataset.get(row) })),
      };
      // After they were read, which may fail: nobody would answer them.
      for (const row of some) this.#pending.set(row, Promise.withResolvers());
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      this.#thread().postMessage(request);
    }
  }

  /** A prepared row: from the cache, from the thread, or made on the main thread. */
  async get(row: number): Promise<PreparedRow> {
    const { cache } = this.#options;
    const known = cache.get(row) ?? (await this.#receivedMeanwhile(row));
    if (known !== undefined) return known;
    const pending = this.#isReady ? this.#pending.get(row) : undefined;
    if (pending === undefined) return this.#prepareHere(row);
    // The thread alone doesn't keep the process alive, but a wait for it must.
    this.#worker?.ref();
    const prepared = await pending.promise;
    this.#worker?.unref();
    return prepared ?? this.#prepareHere(row);
  }

  /** From now on numbers stand for other rows, so the thread's answers to earlier requests aren't taken. */
  forget(): void {
    this.#generation++;
    this.#abandonRequests();
  }

  /** FILE:LINE of a row. */
  placeOf(row: number): string {
    const { file, line } = this.#options.dataset.get(row);
    return `${file}:${line}`;
  }

  /**
   * Writes the token cache and ends the thread, for data that has been read once. From now on a row that is not tokenized yet
   * is prepared on the main thread.
   */
  async endThread(): Promise<void> {
    this.#useThread = false;
    this.#abandonRequests();
    this.#options.cache.save();
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  /**
   * Ends the thread, and closes the data set.
   * @param reading settles when nobody reads rows any more
   */
  async close(reading: Promise<unknown> = Promise.resolve()): Promise<void> {
    await this.endThread();
    await reading;
    this.#options.dataset.close();
  }

  /** What the thread made while this one was busy: its messages are only heard between two turns of the event loop. */
  async #receivedMeanwhile(row: number): Promise<PreparedRow | undefined> {
    if (this.#worker === undefined || this.#isReady) return undefined;
    await new Promise((resolve) => setImmediate(resolve));
    return this.#options.cache.get(row);
  }

  #prepareHere(row: number): PreparedRow {
    const { cache, dataset, preparer } = this.#options;
    const prepared = preparer.prepare(dataset.get(row), dataset.formatOf(row));
    cache.set(row, prepared);
    return prepared;
  }

  #thread(): Worker {
    if (this.#worker !== undefined) return this.#worker;
    const extension = import.meta.filename.endsWith(".ts") ? "ts" : "js";
    const worker = new Worker(requireProgram(new URL(`./prepare-worker.${extension}`, import.meta.url)), {
      workerData: this.#options.settings,
      resourceLimits: { maxYoungGenerationSizeMb: 12 }, // where texts live briefly; 20 MiB less than by default, and as fast
    });
    worker.on("message", (reply: PrepareReply) => this.#receive(reply));
    // Without the thread everything is prepared here; an error in the data shows there in its own words.
    worker.on("error", () => this.#loseThread());
    worker.on("exit", () => this.#loseThread());
    worker.unref(); // after the listeners: adding one keeps the process alive again
    this.#worker = worker;
    return worker;
  }

  /** Nobody answers requests any more. */
  #loseThread(): void {
    this.#worker = undefined;
    this.#isReady = false;
    this.#useThread = false;
    this.#abandonRequests();
  }

  #receive(reply: PrepareReply): void {
    if (reply.kind === "ready") this.#isReady = true;
    else if (reply.generation !== this.#generation) return;
    else if (reply.kind === "failed") for (const row of reply.rows) this.#settle(row, undefined);
    else
      for (const { row, prepared } of reply.rows) {
        this.#options.cache.set(row, prepared);
        this.#settle(row, prepared);
      }
  }

  #settle(row: number, prepared: PreparedRow | undefined): void {
    this.#pending.get(row)?.resolve(prepared);
    this.#pending.delete(row);
  }

  #abandonRequests(): void {
    for (const row of this.#pending.keys()) this.#settle(row, undefined);
  }
}
