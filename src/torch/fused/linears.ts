// Products of linear layers, with what comes before or after them in a transformer. Each goes to the faster of the machine's
// libraries (native/fused/products.h), forward and backward.
import type { Tensor } from "../tensor/tensor.ts";
import * as wire from "../addon/wire.ts";

const ops = {
  linear: new wire.Op("forge::linear", ""),
  linearWeightGradient: new wire.Op("forge::linear_weight_gradient", ""),
  addLinear: new wire.Op("forge::add_linear", ""),
  normLinear: new wire.Op("forge::norm_linear", ""),
  swigluLinear: new wire.Op("forge::swiglu_linear", ""),
  swiglu: new wire.Op("forge::swiglu", ""),
  swigluJoined: new wire.Op("forge::swiglu_joined", ""),
};

/**
 * `x @ weightᵀ + bias`, with the faster of the machine's libraries.
 *
 * @param x [T, I]
 * @param weight [O, I], of x's dtype
 * @param bias [O]
 * @returns [T, O]
 * @throws TorchError for shapes that don't fit
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor | null): Tensor {
  let p = wire.begin(ops.linear);
  p = wire.tensor(p, x, "x");
  p = wire.tensor(p, weight, "weight");
  wire.optTensor(p, bias, "bias");
  wire.finish();
  return wire.tensorAt(0);
}

/** The gradient of `linear`'s weight, `gradᵀ @ x`: [T, O] and [T, I] to [O, I]. Has no gradient itself. */
export function linearWeightGradient(grad: Tensor, x: Tensor): Tensor {
  let p = wire.begin(ops.linearWeightGradient);
  p = wire.tensor(p, grad, "grad");
  wire.tensor(p, x, "x");
  wire.finish();
  return wire.tensorAt(0);
}

/** `base + x @ weightᵀ`: [T, O], [T, I] and [O, I] to [T, O]. */
export function addLinear(base: Tensor, x: Tensor, weight: Tensor): Tensor {
  let p = wire.begin(ops.addLinear);
  p = wire.tensor(p, base, "base");
  p = wire.tensor(p, x, "x");
  wire.tensor(p, weight, "weight");
  wire.finish();
  return wire.tensorAt(0);
}

/**
 * Several projections of one normalized input: `rmsNorm(x) @ weightᵀ + bias` for each weight. Backward normalizes x again,
 * which saves a tensor of x's size for every layer.
 *
 * @param x [T, D]
 * @param norm [D], the norm's weight
 * @param weights [O, D] each
 * @param biases [O] each, one for every weight, or none at all
 * @returns [T, O] each
 */
export function normLinear(
  x: Tensor,
  norm: Tensor,
  weights: readonly Tensor[],
  biases: readonly Tensor[],
  eps: number,
): Tensor[] {
  let p = wire.begin(ops.normLinear);
  p = wire.tensor(p, x, "x");
  p = wire.tensor(p, norm, "norm");
  p = wire.tensors(p, weights, "weights");
  p = wire.tensors(p, biases, "biases");
  wire.float(p, eps, "eps");
  wire.finish();
  return wire.tensorsAt(0);
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

/**
 * `residual + swiglu(gate, up) @ weightᵀ`. Backward makes the activation again from gate and up.
 *
 * @param gate [T, I]
 * @param up [T, I]
 * @param weight [O, I]
 * @param residual [T, O]
 * @returns [T, O]
 */
export function swigluLinear(gate: Tensor, up: Tensor, weight: Tensor, residual: Tensor): Tensor {
  let p = wire.begin(ops.swigluLinear);
  p = wire.tensor(p, gate, "gate");
  p = wire.tensor(p, up, "up");
  p = wire.tensor(p, weight, "weight");
  wire.tensor(p, residual, "residual");
  wire.finish();
  return wire.tensorAt(0);
}
