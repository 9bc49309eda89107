// The training data as tensors on a device: data's loader, whose batches are typed arrays, and nothing more. Its state can
// be saved and loaded.
import type { Batch, DataLoader, LoaderState } from "../../data/index.ts";
import type { Device, Tensor } from "../../torch/index.ts";

/** A batch of packs, row-major; int64. */
export interface SftBatch {
  /** [B, S]. Padding holds the padding index. */
  tokens: Tensor;
  /** [B, S]: the token that each position should predict; -100 where nothing is trained. */
  labels: Tensor;
  /** [B, S]: the document of each position, from 0; padding is a document of its own. */
  documentIds: Tensor;
  /** [B, S]: positions, from 0 in each document. */
  inputPos: Tensor;
}

/** Makes tensors: given, since this file loads no libtorch. */
export type MakeTensor = (values: Int32Array, shape: [number, number], device: Device | string) => Tensor;

export class SftDataloader implements AsyncDisposable {
  readonly #loader: DataLoader;
  readonly #make: MakeTensor;
  readonly #documentIds: (batch: Batch) => Int32Array;
  readonly #device: Device | string;
  readonly #paddingIdx: number;

  /** @internal Made by setupSftDataloader. */
  constructor(
    loader: DataLoader,
    parts: {
      make: MakeTensor;
      documentIds: (batch: Batch) => Int32Array;
      device: Device | string;
      paddingIdx: number;
    },
  ) {
    this.#loader = loader;
    this.#make = parts.make;
    this.#documentIds = parts.documentIds;
    this.#device = parts.device;
    this.#paddingIdx = parts.paddingIdx;
  }

  /** The next batch. The data has no end: after its last row it is shuffled anew. Dispose of its tensors, or use a scope. */
  async next(): Promise<SftBatch> {
    const batch = (await this.#loader.next())!;
    const { batchSize, seqLen, labels, positions } = batch;
    const tokens = this.#paddingIdx === 0 ? batch.tokens : this.#padded(batch);
    const tensor = (values: Int32Array): Tensor => this.#make(values, [batchSize, seqLen], this.#device);
    return {
      tokens: tensor(tokens),
      labels: tensor(labels),
      documentIds: tensor(this.#documentIds(batch)),
      inputPos: tensor(positions),
    };
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

  /** Ends its thread. */
  async close(): Promise<void> {
    await this.#loader.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** The last document of a sequence is its padding where it has no row. */
  #padded({ tokens, seqLen, documentLengths, rows }: Batch): Int32Array {
    const padded = tokens.slice();
    for (const [b, lengths] of documentLengths.entries()) {
      const used = lengths.slice(0, rows[b]!.length).reduce((sum, length) => sum + length, 0);
      padded.fill(this.#paddingIdx, b * seqLen + used, (b + 1) * seqLen);
    }
    return padded;
  }
}
