// What a step keeps for backward: which layers are recomputed instead, and how many rows' logits the head holds. Plain numbers,
// which the step (block-run.ts) and what forecasts it go by.
import type { RunSpec } from "../../config/index.ts";

/** Activation checkpointing. */
export interface Checkpointing {
  /** `none` keeps all, `full` the layers' inputs only. Default `selective`. */
  readonly checkpointing?: "none" | "full" | "selective";
  /** With `selective`: `op`, the default, or every n-th layer in full. */
  readonly selective?: "op" | number;
}

export function checkpointingOf({ activationCheckpointing: { mode, selective } }: RunSpec): Checkpointing {
  return { checkpointing: mode, selective };
}

/** @param layer its number, from 0 */
export function isRecomputed(
  { checkpointing = "selective", selective = "op" }: Checkpointing,
  layer: number,
): boolean {
  if (checkpointing === "selective") return selective !== "op" && layer % selective === 0;
  return checkpointing === "full";
}

/** Rows whose logits the head holds at once: on an accelerator a product of few rows leaves it idle (bench/README.md). */
export const keptRows = (onCpu: boolean): number => (onCpu ? 512 : 2048);
