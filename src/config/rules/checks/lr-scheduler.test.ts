import { lrSchedulerChecks } from "./lr-scheduler.ts";
import { tryChecks } from "./testing.ts";

tryChecks(lrSchedulerChecks, {
  refused: [
    [
      { training: { steps: 100 }, lr_scheduler: { warmup_steps: 60, decay_ratio: 0.5 } },
      "lr_scheduler.decay_ratio (0.5, 50 steps) and lr_scheduler.warmup_steps (60) take 110 steps, more than training.steps (100); lower one of them, or set lr_scheduler.decay_ratio to null to decay from the end of the warm-up on",
      [["lr_scheduler.decay_ratio=null"], ["lr_scheduler.decay_ratio=0.4"], ["lr_scheduler.warmup_steps=50"]],
    ],
  ],
  warned: [
    [
      // The guide's first scenario over its other cells.
      { training: { steps: 100 }, lr_scheduler: { warmup_steps: 200 } },
      "lr_scheduler.warmup_steps (200) is more than training.steps (100): the whole run is warm-up, cut to 100 steps; 5 to 10 % of training.steps is usual, here 10",
      [["lr_scheduler.warmup_steps=10"], ["training.steps=2000"]],
    ],
  ],
});
