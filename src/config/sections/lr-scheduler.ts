// The lr_scheduler section: the learning rate over the steps of a run.
import { z } from "zod";

import { key, section } from "../schema/key.ts";

export const lrScheduler = section("How the learning rate changes over the run.", {
  warmup_steps: key(z.int().min(0), {
    default: 200,
    defaultNote: "200, or a fifth of training.steps in a run of fewer than 1000 steps",
    doc: "Steps over which the learning rate rises linearly from 0 to optimizer.lr: the factor is (i+1)/warmup_steps at step index i.",
    unit: "steps",
    advice:
      "5 to 10 % of training.steps: 10 to 50 in a short run, 100 to 200 up to 5000 steps, 200 to 500 beyond.",
  }),
  decay_ratio: key(z.number().min(0).max(1).nullable(), {
    default: null,
    doc: "Part of training.steps, at the end, over which the learning rate decays. null decays from the end of the warm-up on.",
    advice: "0.1 to 0.2 gives warm-up, stable phase, decay (WSD).",
  }),
  decay_type: key(z.enum(["linear", "sqrt", "cosine"]), {
    default: "linear",
    doc: "Shape of the decay with progress p: 1-p, 1-sqrt(p) or (1+cos(pi p))/2.",
  }),
  min_lr_factor: key(z.number().min(0).max(1), {
    default: 0,
    doc: "Where the decay ends, as a factor of optimizer.lr.",
  }),
});
