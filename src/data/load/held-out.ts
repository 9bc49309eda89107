// The held-out data sets of a run: opened at the first evaluation, read from their first row at each one, closed with the run.
import { isDeepStrictEqual } from "node:util";
import type { DatasetSource } from "../source/dataset.ts";
import type { DataLoader } from "./loader.ts";
import { openLoader, type OpenLoaderOptions } from "./open.ts";

/** One data set of `eval.datasets`. */
export interface HeldOutSet {
  readonly path: string;
  readonly loader: DataLoader;
}

export class HeldOutData {
  #sources: readonly DatasetSource[] = [];
  #sets: HeldOutSet[] = [];

  /**
   * The data sets, a loader each, at their first rows. They are opened when they are first asked for, and again when
   * `options.sources` differ from those that are open. After a pass call the loader's `endThread`.
   * @throws UserError as `openLoader` does
   */
  async open({ sources, ...options }: OpenLoaderOptions): Promise<readonly HeldOutSet[]> {
    if (!isDeepStrictEqual(sources, this.#sources)) {
      await this.close();
      try {
        for (const source of sources)
          this.#sets.push({
            path: source.path,
            loader: await openLoader({ ...options, sources: [source] }),
          });
      } catch (error) {
        await this.close();
        throw error;
      }
      this.#sources = sources;
    }
    for (const { loader } of this.#sets) await loader.rewind();
    return this.#sets;
  }

  /**
   * Reads what an evaluation will read, so that rows that can't be used are found before a run begins; tokenized rows are kept. Of
   * a stream one batch alone.
   * @returns this rank's trained tokens of each data set
   * @throws UserError as `next` of a loader does
   */
  async check(options: OpenLoaderOptions, maxBatches = Infinity): Promise<number[]> {
    const counts: number[] = [];
    for (const { loader } of await this.open(options)) {
      const isStream = loader.rows === undefined;
      let tokens = isStream ? 1 : 0; // what comes later isn't known
      for (let i = 0; i < (isStream ? 1 : maxBatches); i++) {
        const batch = await loader.next();
        if (batch === undefined) break;
        tokens += batch.trainedTokens;
      }
      await loader.endThread();
      counts.push(tokens);
    }
    return counts;
  }

  /** Ends threads and closes files. */
  async close(): Promise<void> {
    const sets = this.#sets;
    this.#sets = [];
    this.#sources = [];
    for (const { loader } of sets) await loader.close();
  }
}
