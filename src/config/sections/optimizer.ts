// The optimizer section.
import { z } from "zod";

import { key, section } from "../schema/key.ts";

const beta = z.number().min(0).lt(1);

export const optimizer = section("The optimizer.", {
  name: key(z.enum(["AdamW", "Adam"]), {
    default: "AdamW",
    doc: "Kind of optimizer: AdamW (decoupled weight decay) or Adam (weight decay added to the gradient).",
  }),
  lr: key(z.number().positive(), {
    default: 1e-5,
    doc: "Peak learning rate, reached after warm-up.",
    advice:
      "Fine-tuning: 1e-6 to 1e-4. If the loss explodes, lower it; if training is too slow, raise it a little.",
  }),
  beta1: key(beta, { default: 0.9, doc: "Decay of the running mean of the gradient." }),
  beta2: key(beta, { default: 0.95, doc: "Decay of the running mean of the squared gradient." }),
  eps: key(z.number().positive(), {
    default: 1e-8,
    doc: "Added to the denominator of the update, for numerical stability.",
  }),
  weight_decay: key(z.number().min(0), {
    default: 0.1,
    doc: "Strength of the weight decay. 0 turns it off.",
  }),
  implementation: key(z.enum(["fused", "foreach", "for-loop"]), {
    default: "fused",
    doc: "How the update is computed: one fused operator for all parameters, lists of tensors, or one parameter at a time. Same result up to rounding.",
    advice: "fused, unless you are debugging the update.",
  }),
});
