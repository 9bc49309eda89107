// torchforge: what a program or a notebook that trains needs, in one import. Loads nothing native, and none of the code
// that runs in the workers. What hosts and tools need beside it is in torchforge/actors and torchforge/config.
export {
  type ActorClass,
  type ActorContext,
  type ActorEvent,
  type ActorHandle,
  BaseForgeActor,
  type ParallelDims,
  type Phase,
  type Remote,
  type RemoteAll,
  type ResultOf,
  runActor,
  SpawnActor,
  type SpawnOptions,
  WorkerDied,
} from "./actors/index.ts";
export {
  Config,
  ConfigError,
  type ConfigOptions,
  type Difference,
  presets,
  type RunSpec,
  section,
} from "./config/index.ts";
export type * from "./config/generated/types.ts";
export {
  type AnswerOptions,
  type Evaluated,
  EvaluatorActor,
  type EvaluatorResult,
  type Generated,
  InferencerActor,
  TrainerActor,
} from "./train/actors/index.ts";
export * from "./train/utils/index.ts";
export { UserError } from "./util/index.ts";
