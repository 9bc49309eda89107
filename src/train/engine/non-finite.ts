// The loss or a gradient became NaN or infinite: the run ends before the weights are touched.
import { UserError } from "../../util/index.ts";

export interface NonFiniteFacts {
  step: number;
  loss: number;
  norm: number;
  lr: number;
  /** Rows of the data set that the batch held. */
  rows: readonly number[];
  /** Blocks that were updated before, in the same backward pass (`optimizer.in_backward`). */
  updated?: number;
}

export class NonFiniteError extends UserError {
  override name = "NonFiniteError";
  readonly facts: NonFiniteFacts;

  constructor(facts: NonFiniteFacts) {
    const what = Number.isFinite(facts.loss)
      ? `the gradient norm is ${facts.norm}`
      : `the loss is ${facts.loss}`;
    const rows = facts.rows.slice(0, 20).join(", ") + (facts.rows.length > 20 ? ", …" : "");
    const { updated = 0 } = facts;
    const weights =
      updated === 0
        ? "The weights were not changed and the last checkpoint is intact."
        : `The weights of ${updated} blocks were changed already (optimizer.in_backward); the last checkpoint is intact.`;
    super(
      `step ${facts.step}: ${what} (learning rate ${facts.lr.toExponential(2)}; data rows ${rows}). ` +
        `${weights} Lower optimizer.lr, raise lr_scheduler.warmup_steps, ` +
        "lower training.max_norm to 0.5, or look at these rows with `npx torchforge data preview`.",
    );
    this.facts = facts;
  }
}
