import { warns } from "./testing.ts";

warns([
  [
    { activation_checkpoint: { mode: "full", selective_ac_option: 2 } },
    "activation_checkpoint.selective_ac_option (2) does nothing with activation_checkpoint.mode full; set the mode to selective, or remove the option",
  ],
]);
