// From a configuration to a loader's options: the one place where keys of training and eval meet the data pipeline.
// Training, preview and statistics take it from here, so they see the same batches.
import { derive, type TorchforgeConfig } from "../../config/index.ts";
import { resolveDataset } from "../../hub/index.ts";
import { checkSources, type DatasetSource, type ResolveDataset } from "../source/dataset.ts";
import type { OpenLoaderOptions } from "./open.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** Which part of the data a process reads. Ranks that share data (tensor, pipeline, context) have the same. */
export interface DataRank {
  readonly rank: number;
  readonly worldSize: number;
}

/** Data sets of the hub, through the Hugging Face cache. */
export const fromHub: ResolveDataset = async (name, split, subset) =>
  (await resolveDataset(name, split, subset === null ? {} : { config: subset })).files;

const trainingSources = (config: TorchforgeConfig): DatasetSource[] => {
  const key = config.training.datasets.length > 0 ? "training.datasets" : "training.dataset";
  return derive(config).trainingDatasets.map((source, i, all) => ({
    ...source,
    key: all.length > 1 ? `${key}[${i}]` : key,
  }));
};

const evaluationSources = (config: TorchforgeConfig): DatasetSource[] =>
  derive(config).evalDatasets.map((source, i) => ({ ...source, key: `eval.datasets[${i}]` }));

/**
 * Finds what is wrong with a configuration's data in a fraction of a second, before a model is loaded: files that
 * aren't there, splits, columns of no known form. What only reading shows is found by the loader.
 * @throws UserError
 */
export async function checkData(config: TorchforgeConfig): Promise<void> {
  await checkSources([...trainingSources(config), ...evaluationSources(config)]);
}

/** Options of the training data's loader: `training.datasets` (or `dataset`) with every key of training that acts on it. */
export function trainingData(
  config: TorchforgeConfig,
  tokenizer: Tokenizer,
  part: DataRank = { rank: 0, worldSize: 1 },
): OpenLoaderOptions {
  const { training } = config;
  const sources = trainingSources(config);
  return {
    sources,
    key: sources.length === 1 ? sources[0]!.key! : "training.datasets",
    tokenizer,
    resolve: fromHub,
    trainOn: training.train_on,
    batchSize: training.local_batch_size,
    seqLen: training.seq_len,
    packed: training.packed,
    onOverlong: training.on_overlong,
    onBadRow: training.on_bad_row,
    seed: training.data_seed,
    ...part,
  };
}

/** Options of the evaluation data's loader: one epoch of `eval.datasets`, in order. */
export function evaluationData(
  config: TorchforgeConfig,
  tokenizer: Tokenizer,
  part: DataRank = { rank: 0, worldSize: 1 },
): OpenLoaderOptions {
  const key = "eval.datasets";
  const sources = evaluationSources(config);
  return { ...trainingData(config, tokenizer, part), sources, key, shuffle: false, endless: false };
}
