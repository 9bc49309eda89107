import { activationCheckpointChecks } from "./activation-checkpoint.ts";
import { tryChecks } from "./testing.ts";

tryChecks(activationCheckpointChecks, {
  warned: [
    [
      { activation_checkpoint: { mode: "full", selective_ac_option: 2 } },
      "activation_checkpoint.selective_ac_option (2) does nothing with activation_checkpoint.mode full; set the mode to selective, or remove the option",
      [["activation_checkpoint.mode=selective"], ["~activation_checkpoint.selective_ac_option"]],
    ],
  ],
});
