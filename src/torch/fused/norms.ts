// RMSNorm, alone and with the sum before it.
import type { Tensor } from "../tensor/tensor.ts";
import * as wire from "../addon/wire.ts";
import { two } from "./results.ts";

const ops = {
  rmsNorm: new wire.Op("forge::rms_norm", ""),
  addRmsNorm: new wire.Op("forge::add_rms_norm", ""),
};

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
