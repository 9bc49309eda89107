// The training data by itself, as the trainer would see it.
import type { FormatName, Tokenizer } from "../../data/index.ts";
import type { Device } from "../../torch/index.ts";
import { SftDataloader } from "./sft-dataloader.ts";

export interface SftDataloaderOptions {
  /** From setupTokenizer. */
  tokenizer: Tokenizer;
  /** A file, a folder, or a data set of the Hugging Face hub, e.g. `yahma/alpaca-cleaned`. */
  datasetPath: string;
  /** `train`, `validation`, `test`, or part of one, e.g. `train[:95%]`. */
  datasetSplit: string;
  /** Tokens of a sequence: `training.seq_len`. */
  targetTokensPerPack: number;
  /** Sequences of a batch: `training.local_batch_size`. */
  batchSize: number;
  /** Where the tensors are made. */
  device: Device | string;
  /** The token of padding, which nothing learns from. Default 0. */
  paddingIdx?: number;
  /** Which form the rows have, and so how they become messages. Default `alpaca`; `auto` finds it from the columns. */
  messageTransform?: FormatName | "auto";
}

/**
 * A loader for supervised fine-tuning: rows become messages, tokens and packs; seeded, endless, with a state to save.
 * @throws UserError for data that isn't there or can't be read
 */
export async function setupSftDataloader(options: SftDataloaderOptions): Promise<SftDataloader> {
  const [{ documentIds, fromHub, openLoader }, { fromTypedArray, int64 }] = await Promise.all([
    import("../../data/index.ts"),
    import("../../torch/index.ts"),
  ]);
  const { tokenizer, datasetPath, datasetSplit, paddingIdx = 0, messageTransform = "alpaca" } = options;
  const loader = await openLoader({
    sources: [
      {
        path: datasetPath,
        subset: null,
        split: datasetSplit,
        format: messageTransform,
        columns: {},
        key: "datasetPath",
      },
    ],
    key: "datasetPath",
    tokenizer,
    resolve: fromHub,
    seqLen: options.targetTokensPerPack,
    batchSize: options.batchSize,
  });
  return new SftDataloader(loader, {
    documentIds,
    device: options.device,
    paddingIdx,
    make: (values, shape, device) =>
      fromTypedArray(BigInt64Array.from(values, BigInt), shape, { dtype: int64, device }),
  });
}
