// torchforge: what a program or a notebook that trains needs, in one import. Loads nothing native, and none of the code
// that runs in the workers.
export * from "./actors/index.ts";
export * from "./config/index.ts";
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
