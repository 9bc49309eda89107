// Recomputing activations.
import { type Check, when } from "./check.ts";

export const activationCheckpointChecks: readonly Check[] = [
  {
    keys: ["activation_checkpoint.selective_ac_option", "activation_checkpoint.mode"],
    severity: "warning",
    rule: "activation_checkpoint.selective_ac_option acts with mode selective alone",
    run: ({ activation_checkpoint: a }) =>
      when(
        a.mode !== "selective" && a.selective_ac_option !== "op",
        () =>
          `activation_checkpoint.selective_ac_option (${a.selective_ac_option}) does nothing with activation_checkpoint.mode ${a.mode}; set the mode to selective, or remove the option`,
      ),
  },
];
