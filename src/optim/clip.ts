// Gradient norm and clipping, over all parameters at once. A sharded run adds the ranks' squares first; that
// is parallel's.
import { fused, noGrad, scope, type Tensor } from "../torch/index.ts";

/** As PyTorch: keeps the coefficient finite for a norm of zero. */
const epsilon = 1e-6;

/** The gradients that are there (`.grad`), in the order of the parameters. */
export function gradientsOf(params: Iterable<Tensor>): Tensor[] {
  const found: Tensor[] = [];
  for (const param of params) {
    const gradient = param.grad;
    if (gradient !== undefined) found.push(gradient);
  }
  return found;
}

/** The sum of the squares of all elements of all tensors, added up in float64: what the ranks of a sharded run add up. */
export function sumOfSquares(gradients: readonly Tensor[]): number {
  if (gradients.length === 0) return 0;
  using _ = scope();
  return noGrad(() => fused.sumOfSquares(gradients).item());
}

/** The 2-norm of all elements of all tensors together. NaN or Infinity where an element is: test with Number.isFinite. */
export function gradNorm(gradients: readonly Tensor[]): number {
  return Math.sqrt(sumOfSquares(gradients));
}

/** What clipping multiplies gradients of this norm by: min(1, maxNorm / (norm + 1e-6)), as clip_grad_norm_ does. */
export function clipCoefficient(norm: number, maxNorm: number): number {
  if (!(maxNorm > 0)) throw new RangeError(`maxNorm: expected a number above 0, found ${maxNorm}`);
  return Math.min(1, maxNorm / (norm + epsilon));
}

/**
 * Scales the gradients (`.grad`) in place so that their global norm is at most `maxNorm`. Returns the norm before.
 * A norm that isn't finite makes the gradients NaN or zero, as in PyTorch: look at the result before the optimizer's step.
 *
 * Source: torch.nn.utils.clip_grad_norm_.
 */
export function clipGradNorm(params: Iterable<Tensor>, maxNorm: number): number {
  if (!(maxNorm > 0)) throw new RangeError(`maxNorm: expected a number above 0, found ${maxNorm}`);
  using _ = scope();
  const gradients = gradientsOf(params);
  if (gradients.length === 0) return 0;
  return noGrad(() => fused.clipGradNorm(gradients, maxNorm).item());
}
