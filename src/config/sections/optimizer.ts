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
  in_backward: key(z.boolean(), {
    default: false,
    doc: "Update each layer's weights as soon as their gradients are complete, and free these: gradients of one layer take memory at a time, and not those of the whole model. The norm of all gradients is not known then, so training.max_norm limits the norm of each layer's gradients by itself; with max_norm null the result is the same bit for bit. Not with accumulation or pipeline parallelism.",
    advice: "Where gradients don't fit: they take as much memory as the weights.",
  }),
  state_dtype: key(z.enum(["float32", "bfloat16", "int8"]), {
    default: "float32",
    doc: "How the two moments of each weight are held: float32 (8 bytes a weight), bfloat16 (4), or int8 (2.03), 8-bit codes with a scale for up to 256 numbers of a row: bitsandbytes' dynamic map, whose steps are small for small numbers, since second moments span many decades. Norms and biases stay float32 with int8. The update itself is computed in float32.",
    advice:
      "int8 where memory is short; on a CPU its update takes five times as long. bfloat16 with stochastic_rounding where beta2 is above 0.99.",
  }),
  stochastic_rounding: key(z.boolean(), {
    default: false,
    doc: "Round bfloat16 weights (training.dtype) and bfloat16 moments up or down at random, so that small updates count in the mean and aren't lost. The random numbers follow from training.seed, the step and the weight: the same in a run that resumes, and however it is divided among ranks.",
    advice: "For training.dtype bfloat16, whose updates are smaller than a weight's last digit.",
  }),
});
