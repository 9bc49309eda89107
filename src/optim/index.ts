// torchforge/optim: the optimizer, the learning rate's schedule, and gradient clipping.
export { AdamW, type AdamOptions, type StepOptions } from "./adamw.ts";
export { clipCoefficient, clipGradNorm, gradientsOf, gradNorm, sumOfSquares } from "./clip.ts";
export { factor, type DecayType, type ScheduleOptions } from "./schedule.ts";
export type { Implementation } from "./update.ts";
