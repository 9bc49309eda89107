// The training data by itself, as the trainer would see it.
import { inspect } from "node:util";

import type { FormatName, MessageTransform, Tokenizer } from "../../data/index.ts";
import type { Device } from "../../torch/index.ts";
import { UserError } from "../../util/index.ts";
import { SftDataloader } from "./sft-dataloader.ts";

/** `Row` is what a row of the data is taken for where `messageTransform` is a function. */
export interface SftDataloaderOptions<Row extends object = Record<string, unknown>> {
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
  /**
   * How rows become messages: the form that they have (`auto` finds it from the columns), or a function of a row, which
   * must give the same for the same row. Default `alpaca`.
   */
  messageTransform?: FormatName | "auto" | MessageTransform<Row>;
  /** What a row does that can't be used, or whose `messageTransform` throws: end with an error, or be left out. Default `error`. */
  onBadRow?: "error" | "skip";
}

/**
 * A loader for supervised fine-tuning: rows become messages, tokens and packs; seeded, endless, with a state to save.
 * @throws UserError for data that isn't there or can't be read, and for options of no known value
 *
 * @example
 * ```ts
 * import { setupSftDataloader, setupTokenizer } from "torchforge";
 * import { quickstartData } from "torchforge/quickstart";
 *
 * await using loader = await setupSftDataloader({
 *   tokenizer: await setupTokenizer("./model"),
 *   datasetPath: quickstartData.train,
 *   datasetSplit: "train",
 *   targetTokensPerPack: 128,
 *   batchSize: 2,
 *   device: "cpu",
 * });
 * const { tokens } = await loader.next();
 * console.log(tokens.shape); // [2, 128]
 * ```
 */
export async function setupSftDataloader<Row extends object = Record<string, unknown>>(
  options: SftDataloaderOptions<Row>,
): Promise<SftDataloader> {
  const [{ formatNames, fromHub, mapColumns, openLoader, padBatch }, { fromTypedArray, int64 }] =
    await Promise.all([import("../../data/index.ts"), import("../../torch/index.ts")]);
  const {
    tokenizer,
    datasetPath,
    datasetSplit,
    paddingIdx = 0,
    messageTransform = "alpaca",
    onBadRow = "error",
  } = options;
  for (const [name, given, expected] of [
    ["tokenizer", typeof tokenizer === "object", "what setupTokenizer gives"],
    ["datasetPath", typeof datasetPath === "string", "a file, a folder or the name of a data set"],
    ["datasetSplit", typeof datasetSplit === "string", 'a split, such as "train"'],
    ["targetTokensPerPack", isCount(options.targetTokensPerPack), "a whole number of at least 1"],
    ["batchSize", isCount(options.batchSize), "a whole number of at least 1"],
    ["device", options.device !== undefined, 'a device, such as "cpu"'],
  ] as const)
    if (!given)
      throw new UserError(`${name}: expected ${expected}; found ${shown(options[name])}`, { exitCode: 2 });
  if (typeof messageTransform !== "function")
    checkOneOf("messageTransform", messageTransform, [...formatNames, "auto"], "a function of a row, or ");
  checkOneOf("onBadRow", onBadRow, ["error", "skip"]);
  const loader = await openLoader({
    sources: [
      {
        path: datasetPath,
        subset: null,
        split: datasetSplit,
        ...(typeof messageTransform === "function"
          ? { transform: messageTransform as MessageTransform }
          : { format: messageTransform }),
        key: "datasetPath",
      },
    ],
    key: "datasetPath",
    tokenizer,
    resolve: fromHub,
    seqLen: options.targetTokensPerPack,
    batchSize: options.batchSize,
    onBadRow,
    onBadRowKey: "onBadRow",
  });
  const { device } = options;
  return new SftDataloader(loader, (batch) => {
    const shape = [batch.sequences.length, batch.seqLen];
    return mapColumns(padBatch(batch, paddingIdx), (values) =>
      fromTypedArray(values, shape, values instanceof Int32Array ? { dtype: int64, device } : { device }),
    );
  });
}

function checkOneOf(name: string, found: unknown, known: readonly string[], orElse = ""): void {
  if (known.includes(found as string)) return;
  throw new UserError(`${name}: expected ${orElse}one of ${known.join(", ")}; found ${shown(found)}`, {
    exitCode: 2,
  });
}

const isCount = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 1;

const shown = (value: unknown): string => (value === undefined ? "nothing" : inspect(value, { depth: 0 }));
