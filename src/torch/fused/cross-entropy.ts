// The language-model head with its loss, and without it the labels' log-probabilities. All the logits never exist at once.
import type { Tensor } from "../tensor/tensor.ts";
import * as wire from "../addon/wire.ts";
import { two } from "./results.ts";

const ops = {
  linearCrossEntropy: new wire.Op("forge::linear_cross_entropy", ""),
  linearLogProbabilities: new wire.Op("forge::linear_log_probabilities", ""),
};

export interface LinearCrossEntropyOptions {
  /** Positions with this label have no part in loss and gradients. Default -100. */
  ignoreIndex?: number;
  /**
   * The most logits (rows x vocabulary) that are held at once. Default 0: chosen, less than a tenth of all the logits
   * but for very small inputs.
   */
  chunkSize?: number;
  /**
   * The loss, and so its gradients, are multiplied by this. `1 / trained tokens` here instead of after the call saves
   * backward a pass over the weight's gradient. Default 1.
   */
  scale?: number;
  /**
   * How much each position's loss counts: of the labels' shape, floating point, without a gradient. Default: all 1. A loss
   * that is a function of the log-probabilities (`linearLogProbabilities`) has here its derivatives, times -1.
   */
  tokenWeights?: Tensor | null | undefined;
}

/**
 * The language-model head with its loss: `scale * Σ -tokenWeight * log softmax(hidden @ weightᵀ)[label]` over the positions whose
 * label isn't ignored, without ever holding all the logits. Where gradients are needed they are computed in the same
 * call, and backward only multiplies them by the incoming gradient. The sum isn't divided by anything: divide by the
 * number of trained tokens over all micro-batches and ranks.
 *
 * @param hidden [.., D]
 * @param weight [V, D], of the hidden states' dtype
 * @param labels [..], int64 or int32: a token, or `ignoreIndex`
 * @returns the loss (a float32 scalar, float64 for float64 inputs), and the number of labelled positions (int64 scalar)
 * @throws TorchError for a label outside the vocabulary that isn't `ignoreIndex`, and for shapes that don't fit
 */
export function linearCrossEntropy(
  hidden: Tensor,
  weight: Tensor,
  labels: Tensor,
  options: LinearCrossEntropyOptions = {},
): [loss: Tensor, count: Tensor] {
  wire.takeOptions("linearCrossEntropy", { ...options }, [
    "ignoreIndex",
    "chunkSize",
    "scale",
    "tokenWeights",
  ]);
  let p = wire.begin(ops.linearCrossEntropy);
  p = wire.tensor(p, hidden, "hidden");
  p = wire.tensor(p, weight, "weight");
  p = wire.tensor(p, labels, "labels");
  p = wire.int(p, options.ignoreIndex ?? -100, "ignoreIndex");
  p = wire.int(p, options.chunkSize ?? 0, "chunkSize");
  p = wire.float(p, options.scale ?? 1, "scale");
  wire.optTensor(p, options.tokenWeights, "tokenWeights");
  wire.finish();
  return two();
}

/**
 * The labels' log-probabilities, `log softmax(hidden @ weightᵀ)[label]`, without ever holding all the logits. Makes no graph.
 *
 * @param hidden [.., D]
 * @param weight [V, D], of the hidden states' dtype
 * @param labels [..], int64 or int32: a token, or `ignoreIndex`
 * @returns [..], float32 (float64 for float64 inputs); 0 where the label is ignored
 */
export function linearLogProbabilities(
  hidden: Tensor,
  weight: Tensor,
  labels: Tensor,
  options: Pick<LinearCrossEntropyOptions, "ignoreIndex" | "chunkSize"> = {},
): Tensor {
  wire.takeOptions("linearLogProbabilities", { ...options }, ["ignoreIndex", "chunkSize"]);
  let p = wire.begin(ops.linearLogProbabilities);
  p = wire.tensor(p, hidden, "hidden");
  p = wire.tensor(p, weight, "weight");
  p = wire.tensor(p, labels, "labels");
  p = wire.int(p, options.ignoreIndex ?? -100, "ignoreIndex");
  wire.int(p, options.chunkSize ?? 0, "chunkSize");
  wire.finish();
  return wire.tensorAt(0);
}
