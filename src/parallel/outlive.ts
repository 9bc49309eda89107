// Tensors that live from one call to another, whatever scopes begin and end between: a strategy's, from hook to hook.
import type { Tensor } from "../torch/index.ts";

/** Takes a tensor out of all scopes: it then ends with `dispose`. Returns the tensor. */
export function outlive(tensor: Tensor): Tensor {
  while (tensor.owner !== undefined) tensor.owner.keep(tensor);
  return tensor;
}
