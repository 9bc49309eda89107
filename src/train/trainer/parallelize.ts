// From a configuration to the ranks of a run and the strategy that divides the model among them: the one place where keys of
// parallelism meet src/parallel.
import { existsSync } from "node:fs";
import { join } from "node:path";

import { isInitialized, isSimulated, worldGroup } from "../../comm/index.ts";
import type { Config } from "../../config/index.ts";
import { blockCosts, blockSpecs, readModelConfig, type ModelConfig } from "../../models/index.ts";
import {
  ContextRegion,
  expertBlocks,
  expertOptions,
  Fsdp,
  ParallelDims,
  Pipeline,
  placePipeline,
  Ranks,
  Replicate,
  Single,
  stagesPerRank,
  tensorBlocks,
  TensorParallel,
  TensorRegion,
  type BlockSpec,
  type DataGroups,
  type PipelinePlace,
  type Strategy,
  type StrategyOptions,
} from "../../parallel/index.ts";
import { dtypeOfName } from "../../torch/index.ts";
import { UserError } from "../../util/index.ts";

export interface Placement {
  readonly dims: ParallelDims;
  readonly ranks: Ranks;
  readonly groups: DataGroups;
}

/**
 * Finds this process's place among the ranks; every rank calls it. The process group must be there already where the
 * configuration asks for more than one process: who starts the processes makes it.
 * @throws UserError where the processes are not those of the configuration
 */
export async function openPlacement(config: Config): Promise<Placement> {
  const dims = ParallelDims.of(config);
  const { procs, with_gpus: withGpus } = config.processes;
  const found = isInitialized() ? worldGroup().size : 1;
  if (found !== procs) {
    throw new UserError(
      `processes.procs: expected ${found}, the number of processes of this run, found ${procs}. \`forge sft\` and SpawnActor start as many as it says; a launcher (torchrun, srun) must be told the same number.`,
      { exitCode: 2 },
    );
  }
  const groups = await dims.groups(withGpus ? "cuda" : "cpu");
  const ranks = found === 1 ? Ranks.one : Ranks.ofWorld(groups.loss, dims.dataPart(worldGroup().globalRank));
  return { dims, ranks, groups };
}

/**
 * What can be said before any process is started: whether the model of a local folder can be divided as the configuration
 * asks. That of a model of the hub the ranks check, once it is there.
 * @throws UserError with every sum that doesn't come out
 */
export function checkDivision(config: Config): void {
  const folder = config.model.hf_assets_path;
  const dims = ParallelDims.of(config);
  if (existsSync(join(folder, "config.json")))
    dims.checkModel(readModelConfig(folder), stagesPerRank(config.parallelism.pipeline_parallel_schedule));
}

/** Where this rank's tensors are: nowhere, in a simulated run. */
export function deviceOf(config: Config, ranks: Ranks): string {
  if (isSimulated()) return "meta";
  if (!config.processes.with_gpus) return "cpu";
  return ranks.size > 1 ? `cuda:${process.env["LOCAL_RANK"] ?? ranks.rank}` : "cuda";
}

/** This rank's stages of a pipeline; undefined without one. Every rank calls it. */
export async function placeStages(
  config: Config,
  model: ModelConfig,
  { groups, dims }: Pick<Placement, "groups" | "dims">,
): Promise<PipelinePlace | undefined> {
  if (dims.degrees.pipeline === 1) return undefined;
  const { pipeline_parallel_schedule: schedule } = config.parallelism;
  return await placePipeline(
    schedule,
    groups.mesh!,
    blockSpecs(model),
    blockCosts(model, config.training.seq_len),
  );
}

/** The ranks with which this one computes the same rows, a part each; undefined: rows are whole. */
export function contextOf(config: Config, { groups }: Pick<Placement, "groups">): ContextRegion | undefined {
  if (groups.context === undefined) return undefined;
  return new ContextRegion(groups.context, config.parallelism.context_parallel_rotate_method);
}

/** The strategy that the degrees ask for, with the parameters' memory made. */
export function makeStrategy(
  config: Config,
  model: ModelConfig,
  placement: Placement,
  stages?: PipelinePlace,
): Strategy {
  if (stages === undefined) return makeDataStrategy(config, blockSpecs(model), placement);
  return new Pipeline(stages, makeDataStrategy(config, stages.specs, placement));
}

function makeDataStrategy(
  config: Config,
  specs: readonly BlockSpec[],
  { groups, ranks, dims }: Placement,
): Strategy {
  const { training, parallelism } = config;
  const { tensor, experts } = groups;
  const { wholeExperts } = dims;
  const own =
    experts === undefined
      ? specs
      : expertBlocks(specs, { rank: experts.experts.rank, ranks: experts.experts.size });
  const blocks = tensor === undefined ? own : tensorBlocks(own, tensor.size, wholeExperts);
  const dtype = dtypeOfName(training.dtype)!;
  const options = {
    dtype,
    device: deviceOf(config, ranks),
    reduceDtype: dtypeOfName(training.mixed_precision_reduce)!,
  };
  if (tensor !== undefined) {
    const region = new TensorRegion(tensor, {
      lossParallel: !parallelism.disable_loss_parallel,
      wholeExperts,
    });
    const inner = dataStrategy(config, blocks, groups, options);
    return new TensorParallel(inner, { region, blocks, group: tensor, model: groups.model! });
  }
  return dataStrategy(config, blocks, groups, options);
}

function dataStrategy(
  { training, parallelism }: Config,
  blocks: readonly BlockSpec[],
  groups: DataGroups,
  options: StrategyOptions,
): Strategy {
  const { dtype } = options;
  const { enable_cpu_offload: offload } = training;
  if (groups.shard !== undefined || groups.experts !== undefined || offload) {
    return new Fsdp(blocks, groups.shard, {
      ...options,
      replicate: groups.replicate,
      offload,
      experts: groups.experts && expertOptions(groups.experts),
      computeDtype: training.dtype === "float32" ? dtypeOfName(training.mixed_precision_param)! : dtype,
      reshardAfterForward: reshardAfterForward(parallelism),
    });
  }
  if (groups.replicate !== undefined) return new Replicate(blocks, groups.replicate, options);
  return new Single(blocks, options);
}

/** In a pipeline many passes over a stage follow one another: gathering for each would cost more than it saves. */
function reshardAfterForward(
  parallelism: Config["parallelism"],
): Config["parallelism"]["fsdp_reshard_after_forward"] {
  const { fsdp_reshard_after_forward: asked, pipeline_parallel_degree: stages } = parallelism;
  return asked === "default" && stages > 1 ? "never" : asked;
}
