// Which layers activation checkpointing runs again in backward. Of the configuration alone: what is then kept is block-run.ts's.
import type { TorchforgeConfig } from "../config/index.ts";

/** @param layer its number, from 0 */
export function isRunAgain(
  { activation_checkpoint: { mode, selective_ac_option: option } }: TorchforgeConfig,
  layer: number,
): boolean {
  return mode === "full" || (mode === "selective" && option !== "op" && layer % Number(option) === 0);
}
