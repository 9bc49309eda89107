// torchforge/optim: the optimizers, the learning-rate schedule, and gradient clipping.
export { clipCoefficient, clipGradNorm, gradientsOf, gradNorm, sumOfSquares } from "./clip.ts";
export { makeOptimizer, optimizerStateBytes, type OptimizerOptions } from "./make-optimizer.ts";
export type { ParameterSize, StateDtype } from "./moments.ts";
export { stateName, type Optimizer, type OptimizerState, type StepOptions } from "./optimizer.ts";
export { factor, type DecayType, type ScheduleOptions } from "./schedule.ts";
