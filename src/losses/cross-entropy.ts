// The loss of supervised fine-tuning: the sum of the trained tokens' negative log-probabilities. All of them count the same, so
// that loss and gradients come in one pass over the vocabulary.
import type { Loss } from "./loss.ts";

export const crossEntropy: Loss = {
  forward: (head, x, { labels }, options) => head.loss(x, labels, options),
  lossAndGradient: (head, x, { labels }, options) => head.lossAndGradient(x, labels, options),
};
