// The eval section: loss on held-out data during training.
import { z } from "zod";

import { key, section } from "../schema/key.ts";
import { dataset } from "./dataset.ts";

export const evaluation = section("Evaluation on held-out data, every so many steps and at the end.", {
  eval_every_n_steps: key(z.int().min(1).nullable(), {
    default: null,
    doc: "Steps between two evaluations. null evaluates at the end alone; without eval.datasets there is none.",
    unit: "steps",
  }),
  max_eval_steps: key(z.int().min(1).nullable(), {
    default: null,
    doc: "Batches of one evaluation. null is one epoch of the data.",
    unit: "batches",
  }),
  datasets: key(z.array(dataset), {
    default: [],
    doc: "The held-out data. Each data set gets its own loss, weighted by tokens.",
  }),
});
