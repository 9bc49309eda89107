// torchforge/parallel: how a run is divided among its processes. One file a strategy.
export { SequenceChunks, paddedLength, type SequenceChunk } from "./context/sequence-chunks.ts";
export { contextGroup, ContextRegion, ContextShard, type RotateMethod } from "./context/context-region.ts";
export { ExpertExchange } from "./experts/expert-exchange.ts";
export { expertBlocks, expertOptions, type ExpertGroups } from "./experts/expert-groups.ts";
export { Fsdp, type FsdpOptions } from "./strategies/fsdp.ts";
export { ParallelDims, type DataGroups, type Degrees, type ModelSizes } from "./parallel-dims.ts";
export { blocksOfRank, Pipeline, placePipeline, type PipelinePlace } from "./pipeline/pipeline.ts";
export { inMainMemory } from "./strategies/main-memory.ts";
export { Ranks } from "./ranks.ts";
export { Replicate } from "./strategies/replicate.ts";
export {
  drawSchedule,
  messagesBetween,
  playSchedule,
  type Message,
  type Played,
} from "./pipeline/schedule-check.ts";
export {
  makeForwardSchedule,
  makeSchedule,
  ranksOfStages,
  stagesPerRank,
  type Action,
  type Schedule,
  type ScheduleName,
} from "./pipeline/schedule.ts";
export { Single } from "./strategies/single.ts";
export { splitStages, type Stage } from "./pipeline/stages.ts";
export {
  noHooks,
  wholeParameters,
  type BlockHooks,
  type Pass,
  type ShardOwnership,
  type Strategy,
  type StrategyOptions,
} from "./strategy.ts";
export { StageRelay } from "./pipeline/stage-relay.ts";
export { TensorRegion, type TensorRegionOptions } from "./tensor/tensor-region.ts";
export { tensorBlocks, TensorParallel, type TensorParallelOptions } from "./tensor/tensor-parallel.ts";
