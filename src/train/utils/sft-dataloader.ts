// The training data as tensors on a device: data's loader, whose batches are typed arrays, and nothing more. Its state can
// be saved and loaded.
import type { Batch, DataLoader, LoaderState, PaddedColumns } from "../../data/index.ts";
import type { Tensor } from "../../torch/index.ts";

/** A batch of packs: tensors of [B, S]. */
export interface SftBatch {
  /** Padding holds the padding index. int64. */
  readonly tokens: Tensor;
  /** The token that each position should predict; -100 where nothing is trained. int64. */
  readonly labels: Tensor;
  /** The document of each position, from 0; padding is a document of its own. int64. */
  readonly documentIds: Tensor;
  /** Positions, from 0 in each document. int64. */
  readonly inputPos: Tensor;
}

/** Makes the tensors: given, since this file loads no libtorch. */
export type ToTensors = (batch: Batch) => { [Name in keyof PaddedColumns]: Tensor };

export class SftDataloader implements AsyncDisposable {
  readonly #loader: DataLoader;
  readonly #toTensors: ToTensors;

  /** @internal Made by setupSftDataloader. */
  constructor(loader: DataLoader, toTensors: ToTensors) {
    this.#loader = loader;
    this.#toTensors = toTensors;
  }

  /** The next batch. The data has no end: after its last row it is shuffled anew. Dispose of its tensors, or use a scope. */
  async next(): Promise<SftBatch> {
    const { positions: inputPos, ...columns } = this.#toTensors((await this.#loader.next())!);
    return { ...columns, inputPos };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<SftBatch, never> {
    for (;;) yield await this.next();
  }

  /** Where it stands: small, fit for JSON. */
  stateDict(): LoaderState {
    return this.#loader.stateDict();
  }

  /** Goes on from there. */
  async loadStateDict(state: LoaderState): Promise<void> {
    await this.#loader.loadStateDict(state);
  }

  /** Ends its thread and closes its files. */
  async close(): Promise<void> {
    await this.#loader.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
