// From a run's settings to the ranks of a run and the strategy that divides the model among them: the one place where keys of
// parallelism meet src/parallel.
import { isInitialized, isSimulated, worldGroup } from "../../comm/index.ts";
import type { RunSpec } from "../../config/index.ts";
import { blockCosts, blockSpecs, type ModelConfig } from "../../models/index.ts";
import type { BlockSpec } from "../../nn/index.ts";
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
  tensorBlocks,
  TensorParallel,
  TensorRegion,
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
export async function openPlacement(spec: RunSpec): Promise<Placement> {
  const dims = ParallelDims.of(spec);
  const { worldSize, withGpus } = spec;
  const found = isInitialized() ? worldGroup().size : 1;
  if (found !== worldSize) {
    throw new UserError(
      `processes.procs: expected ${found}, the number of processes of this run, found ${worldSize}. \`forge sft\` and SpawnActor start as many as it says; a launcher (torchrun, srun) must be told the same number.`,
      { exitCode: 2 },
    );
  }
  const groups = await dims.groups(withGpus ? "cuda" : "cpu");
  const ranks = found === 1 ? Ranks.one : Ranks.ofWorld(groups.loss, dims.dataPart(worldGroup().globalRank));
  return { dims, ranks, groups };
}

/** Where this rank's tensors are: nowhere, in a simulated run. */
export function deviceOf({ withGpus }: RunSpec, ranks: Ranks): string {
  if (isSimulated()) return "meta";
  if (!withGpus) return "cpu";
  return ranks.size > 1 ? `cuda:${process.env["LOCAL_RANK"] ?? ranks.rank}` : "cuda";
}

/** This rank's stages of a pipeline; undefined without one. Every rank calls it. */
export async function placeStages(
  spec: RunSpec,
  model: ModelConfig,
  { groups, dims }: Pick<Placement, "groups" | "dims">,
): Promise<PipelinePlace | undefined> {
  if (dims.degrees.pipeline === 1) return undefined;
  const costs = blockCosts(model, spec.seqLen);
  return await placePipeline(spec.pipelineSchedule, groups.mesh!, blockSpecs(model), costs);
}

/** The ranks with which this one computes the same rows, a part each; undefined: rows are whole. */
export function contextOf(spec: RunSpec, { groups }: Pick<Placement, "groups">): ContextRegion | undefined {
  if (groups.context === undefined) return undefined;
  return new ContextRegion(groups.context, spec.contextRotateMethod);
}

/** The strategy that the degrees ask for, with the parameters' memory made. */
export function makeStrategy(
  spec: RunSpec,
  model: ModelConfig,
  placement: Placement,
  stages?: PipelinePlace,
): Strategy {
  if (stages === undefined) return makeDataStrategy(spec, blockSpecs(model), placement);
  return new Pipeline(stages, makeDataStrategy(spec, stages.specs, placement));
}

function makeDataStrategy(
  spec: RunSpec,
  specs: readonly BlockSpec[],
  { groups, ranks, dims }: Placement,
): Strategy {
  const { tensor, experts } = groups;
  const { wholeExperts } = dims;
  const own =
    experts === undefined
      ? specs
      : expertBlocks(specs, { rank: experts.experts.rank, ranks: experts.experts.size });
  const blocks = tensor === undefined ? own : tensorBlocks(own, tensor.size, wholeExperts);
  const dtype = dtypeOfName(spec.dtype)!;
  const options = {
    dtype,
    device: deviceOf(spec, ranks),
    reduceDtype: dtypeOfName(spec.reduceDtype)!,
  };
  if (tensor !== undefined) {
    const region = new TensorRegion(tensor, {
      lossParallel: spec.lossParallel,
      wholeExperts,
    });
    const inner = dataStrategy(spec, blocks, groups, options);
    return new TensorParallel(inner, { region, blocks, group: tensor, model: groups.model! });
  }
  return dataStrategy(spec, blocks, groups, options);
}

function dataStrategy(
  { cpuOffload: offload, computeDtype, reshardAfterForward }: RunSpec,
  blocks: readonly BlockSpec[],
  groups: DataGroups,
  options: StrategyOptions,
): Strategy {
  if (groups.shard !== undefined || groups.experts !== undefined || offload) {
    return new Fsdp(blocks, groups.shard, {
      ...options,
      replicate: groups.replicate,
      offload,
      experts: groups.experts && expertOptions(groups.experts),
      computeDtype: dtypeOfName(computeDtype)!,
      reshardAfterForward,
    });
  }
  if (groups.replicate !== undefined) return new Replicate(blocks, groups.replicate, options);
  return new Single(blocks, options);
}
