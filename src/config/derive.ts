// Values that follow from a configuration: mesh degrees, batch, accumulation, data sets.
// Pure arithmetic on a valid configuration; looks at no file and no device.
import type { DatasetSpec, TorchforgeConfig } from "./schema.ts";

export interface Derived {
  /** Degrees with -1 replaced. shard is 0 where the others do not divide the processes (which is an error). */
  degrees: {
    replicate: number;
    shard: number;
    context: number;
    tensor: number;
    pipeline: number;
    expert: number;
  };
  /** Number of ranks, = replicate × shard × context × tensor × pipeline. */
  worldSize: number;
  /** Ranks that get different rows, = replicate × shard. */
  dataParallelSize: number;
  /** Sequences per optimizer step over all ranks, = local × dataParallelSize × accumulationSteps. */
  globalBatchSize: number;
  /** Forward and backward passes per optimizer step on one rank. */
  accumulationSteps: number;
  /** Positions per optimizer step, padding included, = globalBatchSize × seq_len. */
  positionsPerStep: number;
  /** lr_scheduler.warmup_steps, at most training.steps. */
  warmupSteps: number;
  /** The training data, whichever key named it. */
  trainingDatasets: DatasetSpec[];
  /** The held-out data; empty means no evaluation. */
  evalDatasets: DatasetSpec[];
}

/** The number of ranks that the degrees other than shard leave to it; not whole where they do not divide the processes. */
export function leftForShard(config: TorchforgeConfig): number {
  const p = config.parallelism;
  const others =
    p.data_parallel_replicate_degree *
    p.context_parallel_degree *
    p.tensor_parallel_degree *
    p.pipeline_parallel_degree;
  return config.processes.procs / others;
}

/** One data set with defaults, from its name alone. */
function named(path: string): DatasetSpec {
  return { path, subset: null, split: "train", format: "auto", columns: {} };
}

/** What follows from `config`. */
export function derive(config: TorchforgeConfig): Derived {
  const { parallelism: p, training: t } = config;
  const shard =
    p.data_parallel_shard_degree === -1 ? Math.floor(leftForShard(config)) : p.data_parallel_shard_degree;
  const dataParallelSize = p.data_parallel_replicate_degree * shard;
  const perPass = t.local_batch_size * dataParallelSize;
  const globalBatchSize = t.global_batch_size === -1 ? perPass : t.global_batch_size;
  return {
    degrees: {
      replicate: p.data_parallel_replicate_degree,
      shard,
      context: p.context_parallel_degree,
      tensor: p.tensor_parallel_degree,
      pipeline: p.pipeline_parallel_degree,
      expert: p.expert_parallel_degree,
    },
    worldSize: config.processes.procs,
    dataParallelSize,
    globalBatchSize,
    accumulationSteps: globalBatchSize / perPass,
    positionsPerStep: globalBatchSize * t.seq_len,
    warmupSteps: Math.min(config.lr_scheduler.warmup_steps, t.steps),
    trainingDatasets: structuredClone(
      t.datasets.length > 0 || t.dataset === null ? t.datasets : [named(t.dataset)],
    ),
    evalDatasets: structuredClone(config.eval.datasets),
  };
}

/** A split such as `train[:95%]`: its name, and the part of the rows. Fractions are of the number of rows. */
export interface Split {
  name: string;
  from?: { value: number; unit: "rows" | "percent" } | undefined;
  to?: { value: number; unit: "rows" | "percent" } | undefined;
}

/** Reads a split of a DatasetSpec (already validated). */
export function parseSplit(text: string): Split {
  const match = /^([\w.-]+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?$/.exec(text);
  if (match === null) throw new TypeError(`not a split: ${text}`);
  const [from, to] = [bound(match[2]), bound(match[3])];
  return { name: match[1]!, ...(from && { from }), ...(to && { to }) };
}

function bound(found: string | undefined): Split["from"] {
  if (found === undefined) return undefined;
  return { value: Number.parseInt(found, 10), unit: found.endsWith("%") ? "percent" : "rows" };
}
