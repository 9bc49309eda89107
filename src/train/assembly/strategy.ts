// The strategy by which a run's degrees divide the model among its ranks.
import type { RunSpec } from "../../config/index.ts";
import type { BlockSpec } from "../../nn/index.ts";
import {
  expertBlocks,
  expertOptions,
  Fsdp,
  Pipeline,
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
import { deviceOf, type Placement } from "./placement.ts";

/** The strategy that the degrees ask for, with the parameters' memory made. */
export function makeStrategy(
  spec: RunSpec,
  blocks: readonly BlockSpec[],
  placement: Placement,
  stages?: PipelinePlace,
): Strategy {
  if (stages === undefined) return stageStrategy(spec, blocks, placement);
  return new Pipeline(stages, stageStrategy(spec, stages.specs, placement));
}

/** For the blocks of one process's stages: experts and matrices divided first, what is left of each by data parallelism. */
function stageStrategy(
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
  const inner = dataStrategy(spec, blocks, groups, {
    dtype: dtypeOfName(spec.dtype)!,
    device: deviceOf(spec, ranks),
    reduceDtype: dtypeOfName(spec.reduceDtype)!,
  });
  if (tensor === undefined) return inner;
  const region = new TensorRegion(tensor, { lossParallel: spec.lossParallel, wholeExperts });
  return new TensorParallel(inner, { region, blocks, group: tensor, model: groups.model! });
}

function dataStrategy(
  { cpuOffload: offload, computeDtype, reshardAfterForward, reduceOnce }: RunSpec,
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
      reduceOnce,
    });
  }
  if (groups.replicate !== undefined) return new Replicate(blocks, groups.replicate, options);
  return new Single(blocks, options);
}
