// From a configuration to a loader's options: the one place that knows both the keys of training and eval and the data pipeline.
// Training, preview and statistics take it from here, so they see the same batches.
import type { RunDataset, RunSpec } from "../../config/index.ts";
import { resolveDataset, streamDataset } from "../../hub/index.ts";
import { UserError } from "../../util/index.ts";
import { checkSources, type ResolveDataset } from "../source/dataset.ts";
import type { ResolveStream } from "../source/stream.ts";
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

/** The same, not downloaded. */
const streamedFromHub: ResolveStream = async (name, split, subset) =>
  (await streamDataset(name, split, subset === null ? {} : { config: subset })).files;

/**
 * Finds what is wrong with the data that a configuration names in a fraction of a second, before a model is loaded: files that
 * aren't there, splits, columns of no known form. What only reading shows is found by the loader.
 * @throws UserError
 */
export async function checkData(datasets: readonly RunDataset[]): Promise<void> {
  await checkSources(datasets);
}

/**
 * The training data that a configuration names. It has no default: a run on data that nobody asked for would be of no use.
 * @throws UserError where it names none
 */
export function trainingDatasets({ data }: RunSpec): readonly RunDataset[] {
  if (data.datasets.length > 0) return data.datasets;
  throw new UserError(
    "training.dataset: expected the training data (a file, a folder, or a data set of the hub as org/name), found none. " +
      "Give e.g. training.dataset=rows.jsonl, or training.datasets for a split, a format or several data sets",
    { exitCode: 2 },
  );
}

/** Options of the training data's loader: `training.datasets` (or `dataset`) with every key of training that acts on it. */
export function trainingData(
  spec: RunSpec,
  tokenizer: Tokenizer,
  part: DataRank = { rank: 0, worldSize: 1 },
): OpenLoaderOptions {
  const datasets = trainingDatasets(spec);
  return loaderOptions(
    spec,
    { sources: datasets, key: datasets.length === 1 ? datasets[0]!.key : "training.datasets" },
    tokenizer,
    part,
  );
}

/** What training and evaluation data have in common. */
function loaderOptions(
  { data, localBatchSize, seqLen }: RunSpec,
  named: Pick<OpenLoaderOptions, "sources" | "key">,
  tokenizer: Tokenizer,
  part: DataRank,
): OpenLoaderOptions {
  const { datasets: _, ...options } = data;
  return {
    ...options,
    ...named,
    tokenizer,
    resolve: fromHub,
    resolveStream: streamedFromHub,
    batchSize: localBatchSize,
    seqLen,
    ...part,
  };
}

/** Options of the evaluation data's loader: one epoch of `eval.datasets`, in order. */
export function evaluationData(
  spec: RunSpec,
  tokenizer: Tokenizer,
  part: DataRank = { rank: 0, worldSize: 1 },
): OpenLoaderOptions {
  const named = { sources: spec.evaluation.datasets, key: "eval.datasets" };
  return {
    ...loaderOptions(spec, named, tokenizer, part),
    shuffle: false,
    endless: false,
    epochs: undefined,
  };
}
