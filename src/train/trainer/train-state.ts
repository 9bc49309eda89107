// What a run keeps about its own progress in a checkpoint, and what of it a resume reads: counts that can't be are refused.
import type { StateParts, StepCheckpoint } from "../../checkpoint/index.ts";
import { UserError } from "../../util/index.ts";
import type { BestEvaluation } from "./best.ts";

/** What the run keeps about itself in a checkpoint, beside weights, optimizer and data position. */
export interface TrainState {
  tokens: number;
  seed: number;
  /** With `checkpoint.keep_best`. */
  best?: BestEvaluation;
}

/**
 * What a checkpoint remembers of the run's progress; nothing of what isn't loaded.
 * @throws UserError for counts that can't be
 */
export function progressOf(
  { train_state: state, lr_scheduler: schedule }: StateParts,
  checkpoint: StepCheckpoint | undefined,
): { state: TrainState | undefined; scheduledSteps: number } {
  const { tokens, seed } = (state ?? { tokens: 0, seed: 0 }) as { tokens?: unknown; seed?: unknown };
  const { step: scheduledSteps } = (schedule ?? { step: 0 }) as { step?: unknown };
  for (const [name, count] of Object.entries({
    "train_state.tokens": tokens,
    "train_state.seed": seed,
    "lr_scheduler.step": scheduledSteps,
  })) {
    const most = name === "lr_scheduler.step" ? (checkpoint?.step ?? 0) : Number.MAX_SAFE_INTEGER;
    if (!Number.isSafeInteger(count) || (count as number) < 0 || (count as number) > most)
      throw new UserError(
        `${checkpoint?.path}: state.json: ${name}: expected a whole number from 0 to ${most}, found ${JSON.stringify(count) ?? "nothing"}. Choose an earlier checkpoint with checkpoint.load_step, or leave the part out: checkpoint.exclude_from_loading`,
      );
  }
  return { state: state as TrainState | undefined, scheduledSteps: scheduledSteps as number };
}
