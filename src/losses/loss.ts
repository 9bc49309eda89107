// What a model is trained for. A loss gets the head and the hidden states of a micro-batch, and gives a scalar and the gradient of
// those; gradients of the head's parameters are added to their `.grad`. It never sees the logits of all tokens.
import type { HeadLossOptions, LMHead } from "../nn/index.ts";
import { grad, noGrad, type Tensor } from "../torch/index.ts";

/** What a loss knows of a micro-batch: its tokens lie in one row, document after document. */
export interface LabelledTokens {
  /** [T], int64; -100: none. */
  readonly labels: Tensor;
  /** Tokens of each document, in order. */
  readonly lengths: readonly number[];
}

export type LossOptions = Pick<HeadLossOptions, "scale" | "chunk">;

export interface Loss {
  /** The scalar, times `scale`, without a gradient. @param x hidden states: [T, D] */
  forward(head: LMHead, x: Tensor, tokens: LabelledTokens, options: LossOptions): Tensor;
  /** The same, and its gradient with respect to x. */
  lossAndGradient(
    head: LMHead,
    x: Tensor,
    tokens: LabelledTokens,
    options: LossOptions,
  ): { loss: Tensor; gradX: Tensor };
}

/**
 * The loss that is a function of the labels' log-probabilities. It takes two passes over the vocabulary: one for the
 * log-probabilities, one for the gradients, in which a token counts as much as the scalar's derivative says.
 * @param of log-probabilities ([T], 0 where there is no label; differentiable) to a scalar
 */
export function lossOfLogProbabilities(
  of: (logProbabilities: Tensor, tokens: LabelledTokens) => Tensor,
): Loss {
  return {
    forward: (head, x, tokens, { scale, chunk }) =>
      noGrad(() => of(head.logProbabilities(x, tokens.labels, chunk), tokens).mul(scale)),
    lossAndGradient: (head, x, tokens, options) => {
      const logProbabilities = head.logProbabilities(x, tokens.labels, options.chunk).requiresGrad_();
      const scalar = of(logProbabilities, tokens);
      const tokenWeights = grad(scalar, [logProbabilities])[0]!.neg();
      const { gradX } = head.lossAndGradient(x, tokens.labels, { ...options, tokenWeights });
      return { loss: scalar.detach().mul(options.scale), gradX };
    },
  };
}
