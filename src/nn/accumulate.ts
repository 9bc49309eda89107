// Gradients that are computed block by block are added to the parameters' by hand.
import { noGrad, type Tensor } from "../torch/index.ts";

/** Adds to a parameter's `.grad`, taking the first gradient as it is. */
export function accumulate(parameter: Tensor, gradient: Tensor): void {
  const found = parameter.grad;
  if (found) noGrad(() => found.add_(gradient));
  else parameter.grad = gradient.to(parameter.dtype);
}
