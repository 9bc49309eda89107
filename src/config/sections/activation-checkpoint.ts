// The activation_checkpoint section: memory for time.
import { z } from "zod";

import { key, section } from "../schema/key.ts";

export const activationCheckpoint = section(
  "Recomputing activations in the backward pass in place of keeping them: less memory, slower steps.",
  {
    mode: key(z.enum(["none", "full", "selective"]), {
      default: "selective",
      doc: "none keeps all activations; full keeps the input of each layer only; selective recomputes what selective_ac_option says.",
      advice: "none where memory is plenty, full where it is short.",
    }),
    selective_ac_option: key(z.union([z.literal("op"), z.int().min(1)]), {
      default: "op",
      doc: "With mode selective: op keeps the outputs of expensive operators (matrix products, attention) and recomputes the rest; a number n recomputes every n-th layer.",
    }),
  },
);
