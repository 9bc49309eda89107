// torchforge/parallel: how a run is divided among its processes. One file a strategy.
export { ContextCut, cutLength, type Stretch } from "./context-cut.ts";
export { contextGroup, ContextRegion, CutRows, type RotateMethod } from "./context.ts";
export { ExpertExchange } from "./expert-exchange.ts";
export { expertBlocks, expertOptions, type ExpertGroups } from "./experts.ts";
export { Fsdp, type FsdpOptions } from "./fsdp.ts";
export { ParallelDims, type DataGroups, type Degrees, type ModelSizes } from "./parallel-dims.ts";
export { blocksOfRank, Pipeline, placePipeline, type PipelinePlace } from "./pipeline.ts";
export { inMainMemory } from "./main-memory.ts";
export { outlive } from "./outlive.ts";
export { Ranks } from "./ranks.ts";
export { Replicate } from "./replicate.ts";
export { drawSchedule, messagesBetween, playSchedule, type Message, type Played } from "./schedule-check.ts";
export {
  makeForwardSchedule,
  makeSchedule,
  ranksOfStages,
  stagesPerRank,
  type Action,
  type Schedule,
  type ScheduleName,
} from "./schedule.ts";
export { Single } from "./single.ts";
export { splitStages, type Stage } from "./stages.ts";
export {
  noHooks,
  type BlockHooks,
  type Pass,
  type ShardOwnership,
  type Strategy,
  type StrategyOptions,
} from "./strategy.ts";
export { StageRelay } from "./stage-relay.ts";
export { TensorRegion, type TensorRegionOptions } from "./tensor-region.ts";
export { tensorBlocks, TensorParallel, type TensorParallelOptions } from "./tensor.ts";
