// The learning rate over a run: warm-up, stable phase, decay, as torchtitan's lr_scheduler computes it. A pure function
// of the step index, so that a resume needs no state of it.

export type DecayType = "linear" | "sqrt" | "cosine";

/** What the schedule needs of the configuration's `lr_scheduler` section. */
export interface ScheduleOptions {
  /** Steps of the whole run (`training.steps`). */
  readonly steps: number;
  /** Steps of linear warm-up; more than `steps` counts as `steps`. */
  readonly warmupSteps: number;
  /** Part of `steps`, at their end, over which the rate decays; null: from the end of the warm-up on. */
  readonly decayRatio?: number | null;
  readonly decayType?: DecayType;
  /** Where the decay ends, as a factor of the peak rate. */
  readonly minLrFactor?: number;
}

const shapes: Readonly<Record<DecayType, (progress: number) => number>> = {
  linear: (p) => 1 - p,
  sqrt: (p) => 1 - Math.sqrt(p),
  cosine: (p) => 0.5 * (1 + Math.cos(Math.PI * p)),
};

/**
 * The factor of the peak learning rate at step index i (from 0 on): (i+1)/W in the warm-up of W steps, then 1, then
 * min + (1 - min) * shape(p) with p = (i + 1 - W - stable) / decay and stable = steps + 1 - W - decay. The virtual last
 * step keeps the last real one above the minimum. From index `steps` on it stays at the minimum.
 *
 * Source: torchtitan 0.2.0, components/lr_scheduler.py.
 */
export function factor(index: number, options: ScheduleOptions): number {
  const { steps, decayRatio = null, decayType = "linear", minLrFactor = 0 } = options;
  const warmup = Math.min(options.warmupSteps, steps);
  if (index < warmup) return (index + 1) / warmup;
  const wanted = decayRatio === null ? steps - warmup : roundHalfToEven(steps * decayRatio);
  const decay = Math.min(wanted, steps - warmup);
  const stable = steps + 1 - warmup - decay;
  if (index < warmup + stable || decay === 0) return 1;
  const progress = Math.min(1, (index + 1 - warmup - stable) / decay);
  return minLrFactor + (1 - minLrFactor) * shapes[decayType](progress);
}

/** Python's round(), which decides how many steps decay. */
function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest === 0.5) return below % 2 === 0 ? below : below + 1;
  return Math.round(value);
}
