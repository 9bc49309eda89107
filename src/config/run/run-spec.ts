// What a run does: every key of a valid configuration resolved once, in camelCase, frozen. Below the configuration all code
// reads this, and none decodes a key a second time. Pure arithmetic: it looks at no file, no model and no device.
import { camelKeys, type CamelKeys } from "../../util/index.ts";
import type { DatasetSpec, TorchforgeConfig } from "../schema/schema.ts";
import { freezeDeep } from "../values/tree.ts";
import { torchtitanDataset } from "./torchtitan-datasets.ts";

/** The ranks along each axis of the mesh. */
export interface Degrees {
  readonly replicate: number;
  /** 0 where the others do not divide the processes (which is an error). */
  readonly shard: number;
  readonly context: number;
  readonly tensor: number;
  readonly pipeline: number;
  /** Within shard and context, and within tensor where `expertTensor` is 1. */
  readonly expert: number;
  readonly expertTensor: number;
}

/** A data set, the key that names it, for messages, and whether it is read as it comes and not as a whole. */
export type RunDataset = Readonly<DatasetSpec> & {
  readonly key: string;
  readonly stream: boolean;
  /** `training.message_transform`, where it makes the rows. */
  readonly transformFrom?: string;
};

type DtypeName = "float32" | "bfloat16";
type ReadonlyCamel<T> = Readonly<CamelKeys<T>>;

/** The adapter section, where there is an adapter. */
export type RunAdapter = Readonly<
  Omit<CamelKeys<TorchforgeConfig["adapter"]>, "method" | "layers" | "bias">
> & {
  readonly method: "lora" | "rslora" | "dora";
  readonly layers: string | undefined;
};

export interface RunSpec {
  readonly job: ReadonlyCamel<TorchforgeConfig["job"]>;
  readonly model: ReadonlyCamel<TorchforgeConfig["model"]>;

  /** Number of ranks, = replicate × shard × context × tensor × pipeline. */
  readonly worldSize: number;
  readonly degrees: Degrees;
  /** Ranks that get different rows, = replicate × shard. */
  readonly dataParallelSize: number;
  readonly withGpus: boolean;
  readonly maxRestarts: number;

  /** Infinity where `training.epochs` says how long the run is, until its rows are counted (see Config.ofSteps). */
  readonly steps: number;
  /** Tokens of a pack, and of the longest row. */
  readonly seqLen: number;
  /** Sequences of one forward and backward pass on one rank. */
  readonly localBatchSize: number;
  /** Sequences of an optimizer step over all ranks, = localBatchSize × dataParallelSize × accumulationSteps. */
  readonly globalBatchSize: number;
  /** Forward and backward passes of an optimizer step on one rank. */
  readonly accumulationSteps: number;
  /** Positions of an optimizer step, padding included, = globalBatchSize × seqLen. */
  readonly positionsPerStep: number;
  /** Infinity: no clipping. */
  readonly maxNorm: number;
  /** Undefined: one is drawn. */
  readonly seed: number | undefined;
  readonly deterministic: boolean;
  /** Steps between two forced garbage collections. */
  readonly gcEverySteps: number;

  /** Type of the parameters. */
  readonly dtype: DtypeName;
  /** Type that forward and backward compute in; other than `dtype` only with mixed precision. */
  readonly computeDtype: DtypeName;
  /** Type in which gradients are added up over the ranks. */
  readonly reduceDtype: DtypeName;
  /** Parameters, gradients and optimizer state are kept in main memory. */
  readonly cpuOffload: boolean;

  /** `default`: always, but for the last block. Pipelines resolve it to `never`. */
  readonly reshardAfterForward: "default" | "always" | "never";
  /** Gradients of sharded parameters are reduced once a step, and held whole until then; else after every pass. */
  readonly reduceOnce: boolean;
  /** Under tensor parallelism the loss is computed on shards of the vocabulary. */
  readonly lossParallel: boolean;
  readonly pipelineSchedule: TorchforgeConfig["parallelism"]["pipeline_parallel_schedule"];
  /** How keys and values travel between the ranks that share a sequence. */
  readonly contextRotateMethod: TorchforgeConfig["parallelism"]["context_parallel_rotate_method"];
  readonly activationCheckpointing: {
    readonly mode: "none" | "full" | "selective";
    /** With `selective`: cheap operators are recomputed (`op`), or every n-th layer as a whole. */
    readonly selective: "op" | number;
  };

  /** Patterns of what is trained; empty: all. */
  readonly trainable: readonly string[];
  /** Undefined: none, the model itself is trained. */
  readonly adapter: RunAdapter | undefined;
  /** How frozen weights are kept; undefined: as they are. */
  readonly quantize: { readonly format: "nf4" | "int8" | "fp8"; readonly doubleQuant: boolean } | undefined;

  readonly optimizer: ReadonlyCamel<TorchforgeConfig["optimizer"]>;
  /** `warmupSteps` is at most `steps`, the steps of the run. */
  readonly schedule: ReadonlyCamel<TorchforgeConfig["lr_scheduler"]> & { readonly steps: number };

  readonly data: {
    /** The training data, whichever key named it. */
    readonly datasets: readonly RunDataset[];
    readonly trainOn: TorchforgeConfig["training"]["train_on"];
    readonly generationMarks: boolean;
    readonly packed: boolean;
    readonly onOverlong: TorchforgeConfig["training"]["on_overlong"];
    readonly onBadRow: TorchforgeConfig["training"]["on_bad_row"];
    /** How often each row is trained; undefined: as `steps` has it. */
    readonly epochs: number | undefined;
    /** Of the order of the rows. */
    readonly seed: number;
  };
  readonly evaluation: {
    /** The held-out data; empty means no evaluation. */
    readonly datasets: readonly RunDataset[];
    /** Steps between two evaluations; undefined: after the last step alone. */
    readonly everySteps: number | undefined;
    /** Batches of one evaluation, at most; undefined: one epoch. */
    readonly maxBatches: number | undefined;
  };
  readonly checkpoint: ReadonlyCamel<TorchforgeConfig["checkpoint"]>;
  readonly comm: ReadonlyCamel<TorchforgeConfig["comm"]>;
  /** What `comm.backend` comes to. */
  readonly backend: "nccl" | "gloo";
  readonly metricLogging: {
    readonly everySteps: number;
    readonly console: boolean;
    readonly jsonl: boolean;
    /** Folder of the event files; undefined: none are written. */
    readonly tensorboard: string | undefined;
  };
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

/**
 * Resolves a configuration; `config.spec` holds the result.
 * @param steps what training.epochs comes to, where that is known
 */
export function resolveRun(
  config: TorchforgeConfig,
  steps = config.training.epochs === null ? config.training.steps : Infinity,
): RunSpec {
  const { parallelism: p, training: t, metric_logging: logging, activation_checkpoint: recompute } = config;
  return freezeDeep({
    job: camelKeys(config.job),
    model: camelKeys(config.model),
    withGpus: config.processes.with_gpus,
    maxRestarts: config.processes.max_restarts,
    ...sizesOf(config),
    steps,
    seqLen: t.seq_len,
    localBatchSize: t.local_batch_size,
    maxNorm: t.max_norm ?? Infinity,
    seed: t.seed ?? undefined,
    deterministic: t.deterministic,
    gcEverySteps: t.gc_freq,
    dtype: t.dtype,
    computeDtype: t.dtype === "float32" ? t.mixed_precision_param : t.dtype,
    reduceDtype: t.mixed_precision_reduce,
    cpuOffload: t.enable_cpu_offload,
    // In a pipeline many passes over a stage follow one another: gathering for each would cost more than it saves.
    reshardAfterForward:
      p.fsdp_reshard_after_forward === "default" && p.pipeline_parallel_degree > 1
        ? "never"
        : p.fsdp_reshard_after_forward,
    reduceOnce:
      p.fsdp_reduce_gradients === "auto"
        ? p.pipeline_parallel_degree > 1
        : p.fsdp_reduce_gradients === "once",
    lossParallel: !p.disable_loss_parallel,
    pipelineSchedule: p.pipeline_parallel_schedule,
    contextRotateMethod: p.context_parallel_rotate_method,
    activationCheckpointing: { mode: recompute.mode, selective: recompute.selective_ac_option },
    trainable: [...t.trainable],
    adapter: adapterOf(config),
    quantize:
      config.quantize.base === "none"
        ? undefined
        : { format: config.quantize.base, doubleQuant: config.quantize.double_quant },
    optimizer: camelKeys(config.optimizer),
    schedule: {
      ...camelKeys(config.lr_scheduler),
      warmupSteps: Math.min(config.lr_scheduler.warmup_steps, steps),
      steps,
    },
    data: {
      datasets: trainingDatasets(t),
      trainOn: t.train_on,
      generationMarks: t.generation_marks,
      packed: t.packed,
      onOverlong: t.on_overlong,
      onBadRow: t.on_bad_row,
      epochs: t.epochs ?? undefined,
      seed: t.data_seed,
    },
    evaluation: {
      datasets: config.eval.datasets.map((one, i) =>
        runDataset(one, `eval.datasets[${i}]`, t.message_transform),
      ),
      everySteps: config.eval.eval_every_n_steps ?? undefined,
      maxBatches: config.eval.max_eval_steps ?? undefined,
    },
    checkpoint: {
      ...camelKeys(config.checkpoint),
      excludeFromLoading: [...config.checkpoint.exclude_from_loading],
      export: [...config.checkpoint.export],
    },
    comm: camelKeys(config.comm),
    backend:
      config.comm.backend === "auto" ? (config.processes.with_gpus ? "nccl" : "gloo") : config.comm.backend,
    metricLogging: {
      everySteps: logging.log_every_n_steps,
      console: logging.console.enable,
      jsonl: logging.jsonl.enable,
      tensorboard: logging.tensorboard.enable ? logging.tensorboard.folder : undefined,
    },
  });
}

/** A folder to start from is an adapter, too, whatever method says. */
function adapterOf({ adapter }: TorchforgeConfig): RunAdapter | undefined {
  const { method, layers, bias: _, ...rest } = adapter;
  if (method === "none" && rest.initial_load_path === null) return undefined;
  return {
    ...camelKeys(structuredClone(rest)),
    method: method === "none" ? "lora" : method,
    layers: layers ?? undefined,
  };
}

type Sizes = Pick<
  RunSpec,
  "degrees" | "worldSize" | "dataParallelSize" | "globalBatchSize" | "accumulationSteps" | "positionsPerStep"
>;

/** What the degrees come to, and how a step's sequences are divided. */
function sizesOf(config: TorchforgeConfig): Sizes {
  const { parallelism: p, training: t } = config;
  const replicate = p.data_parallel_replicate_degree;
  const shard =
    p.data_parallel_shard_degree === -1 ? Math.floor(leftForShard(config)) : p.data_parallel_shard_degree;
  const perPass = t.local_batch_size * replicate * shard;
  const globalBatchSize = t.global_batch_size === -1 ? perPass : t.global_batch_size;
  return {
    degrees: {
      replicate,
      shard,
      context: p.context_parallel_degree,
      tensor: p.tensor_parallel_degree,
      pipeline: p.pipeline_parallel_degree,
      expert: p.expert_parallel_degree,
      expertTensor: p.expert_tensor_parallel_degree,
    },
    worldSize: config.processes.procs,
    dataParallelSize: replicate * shard,
    globalBatchSize,
    accumulationSteps: globalBatchSize / perPass,
    positionsPerStep: globalBatchSize * t.seq_len,
  };
}

function trainingDatasets(training: TorchforgeConfig["training"]): RunDataset[] {
  const { dataset, datasets, message_transform: transform, stream } = training;
  if (datasets.length === 0 && dataset !== null) {
    const one: DatasetSpec = { path: dataset, subset: null, split: "train", format: "auto", columns: {} };
    return [runDataset(one, "training.dataset", transform, stream)];
  }
  return datasets.map((one, i) =>
    runDataset(one, datasets.length > 1 ? `training.datasets[${i}]` : "training.datasets", transform, stream),
  );
}

/** A data set as it is read: a name of torchtitan's stands for one of the hub. */
function runDataset(one: DatasetSpec, key: string, transform: string | null, stream = false): RunDataset {
  const named = torchtitanDataset(one.path);
  const split = named !== undefined && one.split === "train" ? named.split : one.split;
  const transformFrom = transform !== null && one.format === "auto" ? { transformFrom: transform } : {};
  return {
    ...structuredClone(one),
    ...named,
    split,
    key,
    stream: stream || named !== undefined,
    ...transformFrom,
  };
}
