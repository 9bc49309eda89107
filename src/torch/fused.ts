// The operators that torchforge adds to libtorch (native/fused): each is one pass in C++ over what would be several aten
// operators, with its gradient. They follow autograd, scopes and devices like any other operator; off the CPU they are
// compositions of aten operators. Low-precision inputs are computed in float32 and rounded once, at the end.
// Gradients of gradients aren't there: taking one is an error.
import * as wire from "./addon/wire.ts";
import type { Tensor } from "./tensor/tensor.ts";

const ops = {
  rmsNorm: new wire.Op("forge::rms_norm", ""),
  addRmsNorm: new wire.Op("forge::add_rms_norm", ""),
  rotaryEmbedding: new wire.Op("forge::rotary_embedding", ""),
  swiglu: new wire.Op("forge::swiglu", ""),
  swigluJoined: new wire.Op("forge::swiglu_joined", ""),
  adamw: new wire.Op("forge::adamw_", ""),
  sumOfSquares: new wire.Op("forge::sum_of_squares", ""),
  gradNorm: new wire.Op("forge::grad_norm", ""),
  clipGradNorm: new wire.Op("forge::clip_grad_norm_", ""),
  clipCoefficient: new wire.Op("forge::clip_coefficient", ""),
  linearCrossEntropy: new wire.Op("forge::linear_cross_entropy", ""),
};

/** The two tensors that stand at the buffer's start. */
function two(): [Tensor, Tensor] {
  // both are read before either can run into something that uses the buffer
  const first = wire.tensorAt(0);
  return [first, wire.tensorAt(1)];
}

/**
 * `x / sqrt(mean(x²) + eps) * weight` over the last dimension (Zhang and Sennrich 2019, arXiv 1910.07467).
 *
 * @param input [.., D], floating point
 * @param weight [D], of the input's dtype; none leaves the last factor out
 * @param eps added to the mean of squares; default 1e-6
 * @returns [.., D]
 * @throws TorchError for a weight of another shape, dtype or device
 */
export function rmsNorm(input: Tensor, weight?: Tensor | null, eps = 1e-6): Tensor {
  let p = wire.begin(ops.rmsNorm);
  p = wire.tensor(p, input, "input");
  p = wire.optTensor(p, weight, "weight");
  wire.float(p, eps, "eps");
  wire.finish();
  return wire.tensorAt(0);
}

/**
 * The end of one transformer sub-layer and the start of the next: `sum = input + residual`, `normed = rmsNorm(sum)`.
 *
 * @param input [.., D], the sub-layer's output
 * @param residual [.., D], of the input's dtype
 * @param weight [D]; none leaves the scaling out
 * @returns `[normed, sum]`, both [.., D]; the residual stream goes on with `sum`
 * @throws TorchError where shapes, dtypes or devices differ
 */
export function addRmsNorm(
  input: Tensor,
  residual: Tensor,
  weight?: Tensor | null,
  eps = 1e-6,
): [normed: Tensor, sum: Tensor] {
  let p = wire.begin(ops.addRmsNorm);
  p = wire.tensor(p, input, "input");
  p = wire.tensor(p, residual, "residual");
  p = wire.optTensor(p, weight, "weight");
  wire.float(p, eps, "eps");
  wire.finish();
  return two();
}

/**
 * Rotary position embedding in the half-rotation layout of Llama in Transformers (Su et al. 2021, arXiv 2104.09864):
 * with the first half of a head's rotated dimensions x1 and the second x2, `y1 = x1 cos - x2 sin`,
 * `y2 = x2 cos + x1 sin`. Dimensions behind the rotated ones are copied (partial rotary embedding).
 *
 * @param query [B, T, heads, headDim]; any strides
 * @param key [B, T, kvHeads, headDim]; any strides
 * @param cos [positions, rotaryDim / 2]: the cosines of each position's angles, best in float32; no gradient
 * @param sin like `cos`
 * @param positionIds [T] or [B, T], integers: the row of the tables for each token; default 0, 1, 2, …
 * @returns the rotated query and key, contiguous
 * @throws TorchError for shapes that don't fit and for a position outside the tables
 */
export function rotaryEmbedding(
  query: Tensor,
  key: Tensor,
  cos: Tensor,
  sin: Tensor,
  positionIds?: Tensor | null,
): [query: Tensor, key: Tensor] {
  let p = wire.begin(ops.rotaryEmbedding);
  p = wire.tensor(p, query, "query");
  p = wire.tensor(p, key, "key");
  p = wire.tensor(p, cos, "cos");
  p = wire.tensor(p, sin, "sin");
  wire.optTensor(p, positionIds, "positionIds");
  wire.finish();
  return two();
}

/**
 * `silu(gate) * up`, the gate of Llama's feed-forward layers (Shazeer 2020, arXiv 2002.05202).
 *
 * @param gate [.., I]
 * @param up [.., I], of the gate's shape, dtype and device
 * @returns [.., I]
 */
export function swiglu(gate: Tensor, up: Tensor): Tensor {
  let p = wire.begin(ops.swiglu);
  p = wire.tensor(p, gate, "gate");
  wire.tensor(p, up, "up");
  wire.finish();
  return wire.tensorAt(0);
}

/** `swiglu` of the two halves of the last dimension, gate first: [.., 2I] gives [.., I]. */
export function swigluJoined(joined: Tensor): Tensor {
  wire.tensor(wire.begin(ops.swigluJoined), joined, "joined");
  wire.finish();
  return wire.tensorAt(0);
}

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
}

/**
 * The language-model head with its loss: `scale * Σ -log softmax(hidden @ weightᵀ)[label]` over the positions whose
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
  wire.takeOptions("linearCrossEntropy", { ...options }, ["ignoreIndex", "chunkSize", "scale"]);
  let p = wire.begin(ops.linearCrossEntropy);
  p = wire.tensor(p, hidden, "hidden");
  p = wire.tensor(p, weight, "weight");
  p = wire.tensor(p, labels, "labels");
  p = wire.int(p, options.ignoreIndex ?? -100, "ignoreIndex");
  p = wire.int(p, options.chunkSize ?? 0, "chunkSize");
  wire.float(p, options.scale ?? 1, "scale");
  wire.finish();
  return two();
}

export interface AdamwOptions {
  lr: number;
  /** Default 0.9. */
  beta1?: number;
  /** Default 0.95. */
  beta2?: number;
  /** Default 1e-8. */
  eps?: number;
  /** Default 0.1. */
  weightDecay?: number;
  /** A scalar tensor that gradients are multiplied by on the way (see `clipCoefficient`); they stay as they are. */
  gradScale?: Tensor | null;
  /** Goes up the gradient. Default false. */
  maximize?: boolean;
}

/**
 * One step of AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) for all parameters, in place, in one pass:
 *
 *     p *= 1 - lr * weightDecay;  m += (g - m) * (1 - beta1);  v = beta2 * v + (1 - beta2) * g²
 *     p -= lr / (1 - beta1^step) * m / (sqrt(v / (1 - beta2^step)) + eps)
 *
 * Call it under `noGrad` or on detached parameters.
 *
 * @param params floating point, dense
 * @param grads of the parameters' shapes; their dtype, or float32
 * @param expAvgs first moments m, of the parameters' shapes and layout; their dtype, or float32
 * @param expAvgSqs second moments v, like the first
 * @param step the number of this step, from 1 on
 * @throws TorchError where lengths, shapes, dtypes or layouts don't fit
 */
export function adamw(
  params: readonly Tensor[],
  grads: readonly Tensor[],
  expAvgs: readonly Tensor[],
  expAvgSqs: readonly Tensor[],
  step: number,
  options: AdamwOptions,
): void {
  let p = wire.begin(ops.adamw);
  p = wire.tensors(p, params, "params");
  p = wire.tensors(p, grads, "grads");
  p = wire.tensors(p, expAvgs, "expAvgs");
  p = wire.tensors(p, expAvgSqs, "expAvgSqs");
  p = wire.int(p, step, "step");
  p = wire.float(p, options.lr, "lr");
  p = wire.float(p, options.beta1 ?? 0.9, "beta1");
  p = wire.float(p, options.beta2 ?? 0.95, "beta2");
  p = wire.float(p, options.eps ?? 1e-8, "eps");
  p = wire.float(p, options.weightDecay ?? 0.1, "weightDecay");
  p = wire.optTensor(p, options.gradScale, "gradScale");
  wire.bool(p, options.maximize ?? false, "maximize");
  wire.finish();
}

/**
 * Sum of the squares of all elements of all tensors, a float64 scalar. Shards add theirs up before the square root. The
 * result depends on neither the number of threads nor their timing.
 */
export function sumOfSquares(tensors: readonly Tensor[]): Tensor {
  wire.tensors(wire.begin(ops.sumOfSquares), tensors, "tensors");
  wire.finish();
  return wire.tensorAt(0);
}

/** The 2-norm of all tensors as one vector, a float32 scalar; squares are summed in float64. */
export function gradNorm(tensors: readonly Tensor[]): Tensor {
  wire.tensors(wire.begin(ops.gradNorm), tensors, "tensors");
  wire.finish();
  return wire.tensorAt(0);
}

/** `min(1, maxNorm / (norm + 1e-6))`, a scalar on the norm's device: what clipping multiplies gradients by. */
export function clipCoefficient(norm: Tensor, maxNorm: number): Tensor {
  let p = wire.begin(ops.clipCoefficient);
  p = wire.tensor(p, norm, "norm");
  wire.float(p, maxNorm, "maxNorm");
  wire.finish();
  return wire.tensorAt(0);
}

/**
 * Scales gradients in place so that their global 2-norm is at most `maxNorm`, as PyTorch's `clip_grad_norm_` does.
 *
 * @returns the norm before clipping, a float32 scalar
 */
export function clipGradNorm(grads: readonly Tensor[], maxNorm: number): Tensor {
  let p = wire.begin(ops.clipGradNorm);
  p = wire.tensors(p, grads, "grads");
  wire.float(p, maxNorm, "maxNorm");
  wire.finish();
  return wire.tensorAt(0);
}
