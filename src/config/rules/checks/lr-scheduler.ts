// Warm-up and decay within the run.
import { type Check, when } from "./check.ts";

export const lrSchedulerChecks: readonly Check[] = [
  {
    keys: ["lr_scheduler.warmup_steps", "training.steps"],
    severity: "warning",
    rule: "lr_scheduler.warmup_steps should be at most training.steps; more is cut to it, as torchtitan does",
    run: ({ lr_scheduler: s }, { steps }) =>
      when(
        s.warmup_steps > steps,
        () =>
          `lr_scheduler.warmup_steps (${s.warmup_steps}) is more than training.steps (${steps}): the whole run is warm-up, cut to ${steps} steps; 5 to 10 % of training.steps is usual, here ${Math.max(1, Math.round(steps / 10))}`,
      ),
  },
  {
    keys: ["lr_scheduler.decay_ratio", "lr_scheduler.warmup_steps", "training.steps"],
    severity: "error",
    rule: "warm-up and decay together must fit into training.steps",
    run({ lr_scheduler: s }, { steps, schedule: { warmupSteps } }) {
      const decay = s.decay_ratio === null ? 0 : Math.round(steps * s.decay_ratio);
      return when(
        s.warmup_steps <= steps && decay + warmupSteps > steps,
        () =>
          `lr_scheduler.decay_ratio (${s.decay_ratio}, ${decay} steps) and lr_scheduler.warmup_steps (${s.warmup_steps}) take ${decay + warmupSteps} steps, more than training.steps (${steps}); lower one of them, or set lr_scheduler.decay_ratio to null to decay from the end of the warm-up on`,
      );
    },
  },
];
