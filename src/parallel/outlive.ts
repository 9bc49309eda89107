// Tensors of a strategy live from one hook to another, whatever scopes of the step begin and end between.
import type { Tensor } from "../torch/index.ts";

/** Takes a tensor out of all scopes: it then ends with `dispose`. Returns the tensor. */
export function outlive(tensor: Tensor): Tensor {
  while (tensor.owner !== undefined) tensor.owner.keep(tensor);
  return tensor;
}
