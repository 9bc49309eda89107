// What an optimizer's step does to all parameters at once: the update, the norm of the gradients, clipping.
import type { Tensor } from "../tensor/tensor.ts";
import * as wire from "../addon/wire.ts";

const ops = {
  adamw: new wire.Op("forge::adamw_", ""),
  adamwNarrow: new wire.Op("forge::adamw_narrow_", ""),
  sumOfSquares: new wire.Op("forge::sum_of_squares", ""),
  gradNorm: new wire.Op("forge::grad_norm", ""),
  clipGradNorm: new wire.Op("forge::clip_grad_norm_", ""),
  clipCoefficient: new wire.Op("forge::clip_coefficient", ""),
};

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

export interface AdamwNarrowOptions {
  lr: number;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  /** AdamW; else the decay is added to the gradient (Adam). */
  decoupled: boolean;
  /** Gradients are multiplied by it on the way. */
  gradScale: number;
  /** bfloat16 is rounded up or down at random; else to the nearest. */
  stochastic: boolean;
  /** Of moments that are codes: float32, [rows, blocks of a row]; empty lists for others. */
  scales: readonly Tensor[];
  sqScales: readonly Tensor[];
  /** For each parameter the key of its random numbers, 32 bits, and its first element's number among them. */
  keys: readonly number[];
  offsets: readonly number[];
}

/**
 * One step of AdamW or Adam, as `adamw`, where parameters or moments are rounded to fewer bits than the float32 that it is
 * computed in. Parameters and gradients are float32 or bfloat16 and contiguous; moments too, or int8 (first) and uint8 (second)
 * codes of matrices, each block of up to 256 elements of a row with a scale.
 *
 * Source of the codes: Dettmers et al. 2022, https://arxiv.org/abs/2110.02861.
 *
 * @throws TorchError where lengths, shapes, dtypes or layouts don't fit
 */
export function adamwNarrow(
  params: readonly Tensor[],
  grads: readonly Tensor[],
  expAvgs: readonly Tensor[],
  expAvgSqs: readonly Tensor[],
  step: number,
  options: AdamwNarrowOptions,
): void {
  let p = wire.begin(ops.adamwNarrow);
  p = wire.tensors(p, params, "params");
  p = wire.tensors(p, grads, "grads");
  p = wire.tensors(p, expAvgs, "expAvgs");
  p = wire.tensors(p, expAvgSqs, "expAvgSqs");
  p = wire.tensors(p, options.scales, "scales");
  p = wire.tensors(p, options.sqScales, "sqScales");
  p = wire.ints(p, options.keys, "keys", 0);
  p = wire.ints(p, options.offsets, "offsets", 0);
  p = wire.int(p, step, "step");
  p = wire.float(p, options.lr, "lr");
  p = wire.float(p, options.beta1, "beta1");
  p = wire.float(p, options.beta2, "beta2");
  p = wire.float(p, options.eps, "eps");
  p = wire.float(p, options.weightDecay, "weightDecay");
  p = wire.bool(p, options.decoupled, "decoupled");
  p = wire.bool(p, options.stochastic, "stochastic");
  wire.float(p, options.gradScale, "gradScale");
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
