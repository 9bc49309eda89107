// Builds a loader from its parts: data sets, tokenizer, cache and thread. Takes plain options, not a configuration, so that
// tests and notebooks need none; from-config.ts maps one to the other.
import { join } from "node:path";
import { cacheDir, UserError } from "../../util/index.ts";
import { openDataset, type Dataset, type DatasetSource, type ResolveDataset } from "../source/dataset.ts";
import { RowFeed } from "./feed.ts";
import type { DataLoader, LoaderOptions, LoaderState } from "./loader.ts";
import { NumberedLoader } from "./numbered-loader.ts";
import { Preparer, type PrepareSettings } from "./prepare.ts";
import { RowStream, type ResolveStream } from "../source/stream.ts";
import { StreamLoader } from "./stream-loader.ts";
import { TokenCache } from "./token-cache.ts";
import { dataIdentity, tokenKey, type DataIdentity } from "./token-key.ts";
import type { Wording } from "../text/formats.ts";
import { loadTransform } from "../text/load-transform.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { TrainOn } from "../types.ts";

/** What rows are and how they become tokens. */
export interface DataOptions {
  /** `training.datasets`, or `[{ path: training.dataset }]`. */
  readonly sources: readonly DatasetSource[];
  readonly tokenizer: Tokenizer;
  /** Default `assistant`. */
  readonly trainOn?: TrainOn;
  /** Train what the template's marks of generation enclose, where it has some. Default true. */
  readonly generationMarks?: boolean | undefined;
  /** In place of the model's own chat template. */
  readonly chatTemplate?: string | undefined;
  /** Further variables for the template, such as `{ enable_thinking: false }`. */
  readonly templateVariables?: Readonly<Record<string, unknown>> | undefined;
  /** Told of what is left out. */
  readonly onWarning?: (message: string) => void;
  /** What the columns instruction + output are where no format is given: the model's wording. Default `alpaca`. */
  readonly wording?: Wording | undefined;
  /** Finds the files of a hub data set. Without it only local paths can be opened. */
  readonly resolve?: ResolveDataset | undefined;
  /** Finds the files of a hub data set that is streamed. */
  readonly resolveStream?: ResolveStream | undefined;
  /** Where tokenized rows are kept between runs; null: nowhere. Default: `tokens` in torchforge's cache. */
  readonly cacheFolder?: string | null;
  /** Tokenize ahead in a thread. Default true. */
  readonly useThread?: boolean;
  /** What the chat template takes for today, in milliseconds since 1970. Default: now; a saved state's wins. */
  readonly now?: number;
}

export interface OpenLoaderOptions extends DataOptions, Partial<Omit<LoaderOptions, "seqLen" | "batchSize">> {
  readonly seqLen: number;
  readonly batchSize: number;
  /** Resume from here. */
  readonly state?: LoaderState | undefined;
}

/** A data set with all that prepares its rows. Closing the feed closes the data set. */
export interface OpenedData {
  readonly dataset: Dataset;
  readonly preparer: Preparer;
  readonly feed: RowFeed;
  readonly cache: TokenCache;
  readonly identity: { readonly data: DataIdentity; readonly now: number };
}

/** Opens data sets and what tokenizes them; reads no row but the first. */
export async function openData(options: DataOptions): Promise<OpenedData> {
  const streamed = options.sources.find(({ stream }) => stream);
  if (streamed !== undefined)
    throw new UserError(
      `${streamed.key ?? "training.dataset"}: ${streamed.path} is streamed, so it can't be read as a whole; \`forge data preview\` shows its first batches`,
      { exitCode: 2 },
    );
  const sources = await Promise.all(options.sources.map(withTransform));
  const dataset = await openDataset(sources, options);
  try {
    return prepareData(dataset, options);
  } catch (error) {
    dataset.close();
    throw error;
  }
}

/** A data set with the function that its file exports. */
async function withTransform(source: DatasetSource): Promise<DatasetSource> {
  if (source.transformFrom === undefined) return source;
  const { transform, text } = await loadTransform(source.transformFrom);
  return { ...source, transform, transformText: text };
}

function prepareRows(
  { formats, hash }: Pick<Dataset, "formats" | "hash">,
  options: DataOptions,
): { settings: PrepareSettings; preparer: Preparer; identity: DataIdentity } {
  const { tokenizer, trainOn = "assistant", generationMarks, chatTemplate, templateVariables } = options;
  const { now = Date.now() } = options;
  const settings: PrepareSettings = {
    tokenizerFiles: tokenizer.files,
    trainOn,
    generationMarks,
    formats,
    chatTemplate,
    templateVariables,
    now,
  };
  return { settings, preparer: new Preparer(settings, tokenizer), identity: dataIdentity(hash, settings) };
}

function prepareData(dataset: Dataset, options: DataOptions): OpenedData {
  const { settings, preparer, identity } = prepareRows(dataset, options);
  // What a function does isn't known by its text alone (it may use variables): its rows aren't kept for another run.
  const isFunction = options.sources.some(
    ({ transform, transformFrom }) => transform !== undefined || transformFrom !== undefined,
  );
  const { cacheFolder = join(cacheDir(), "tokens") } = options;
  const folder = isFunction ? undefined : (cacheFolder ?? undefined);
  const cache = new TokenCache({ key: tokenKey(identity), rows: dataset.length, folder });
  const feed = new RowFeed({ dataset, preparer, settings, cache, useThread: options.useThread ?? true });
  return { dataset, preparer, feed, cache, identity: { data: identity, now: settings.now } };
}

/**
 * A loader over data sets, resumed from `state` where there is one. Defaults: packed, shuffled with seed 42, endless,
 * one rank, over-long rows truncated, bad rows an error.
 * @throws UserError for data that isn't there or can't be read, or a state that doesn't fit it.
 */
export async function openLoader(options: OpenLoaderOptions): Promise<DataLoader> {
  const { state } = options;
  const now = state?.now ?? options.now ?? Date.now();
  const [streamed] = options.sources;
  const loader = await (streamed?.stream ? openStream(streamed, options, now) : openNumbered(options, now));
  try {
    if (state !== undefined) await loader.loadStateDict(state);
    return loader;
  } catch (error) {
    await loader.close();
    throw error;
  }
}

async function openNumbered(options: OpenLoaderOptions, now: number): Promise<DataLoader> {
  const { dataset, feed, identity } = await openData({ ...options, now });
  try {
    return new NumberedLoader(feed, dataset.length, identity, withDefaults(options));
  } catch (error) {
    await feed.close();
    throw error;
  }
}

async function openStream(
  source: DatasetSource,
  options: OpenLoaderOptions,
  now: number,
): Promise<DataLoader> {
  const stream = await RowStream.open(await withTransform(source), options);
  const described = { formats: [stream.format], hash: stream.hash };
  const { settings, preparer, identity } = prepareRows(described, { ...options, now });
  const feed = { settings, preparer, useThread: options.useThread ?? true };
  return new StreamLoader(stream, feed, { data: identity, now }, withDefaults(options));
}

const withDefaults = (options: OpenLoaderOptions): LoaderOptions => ({
  key: "training.dataset",
  packed: true,
  onOverlong: "truncate",
  onBadRow: "error",
  seed: 42,
  shuffle: true,
  endless: true,
  rank: 0,
  worldSize: 1,
  onWarning: (message) => process.emitWarning(message, "DataWarning"),
  ...options,
});
