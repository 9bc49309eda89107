// torchforge/losses: what a model is trained for, one file a loss.
export { crossEntropy } from "./cross-entropy.ts";
export { lossOfLogProbabilities, type LabelledTokens, type Loss, type LossOptions } from "./loss.ts";
