// Weights in the type that a layer computes in (mixed precision). A trained one is cast for each pass, as a leaf of its own whose
// gradient is then added to the parameter's. A frozen one never changes between steps: its cast is kept.
import { call, noGrad, outlive, type Dtype, type Tensor } from "../torch/index.ts";

interface FrozenCast {
  readonly cast: Tensor;
  /** Of the parameter's values: whoever writes into them makes the cast stale. */
  readonly version: number;
}

const frozenCasts = new WeakMap<Tensor, FrozenCast>();

/** A leaf of the same values in another type. It ends with `disposeCasts`. */
export function castWeight(parameter: Tensor, dtype: Dtype): Tensor {
  if (parameter.requiresGrad) return castLeaf(parameter, dtype).requiresGrad_();
  const version = call<number>("aten::_version", parameter);
  const found = frozenCasts.get(parameter);
  if (found?.cast.dtype === dtype && found.version === version) return found.cast;
  found?.cast.dispose();
  // It lives as long as the parameter.
  const cast = outlive(castLeaf(parameter, dtype));
  frozenCasts.set(parameter, { cast, version });
  return cast;
}

function castLeaf(parameter: Tensor, dtype: Dtype): Tensor {
  // Not left to the scope: the copy's memory is to go with the leaf.
  using copy = noGrad(() => parameter.to(dtype));
  return copy.detach();
}

/** Ends casts of trained weights. Those of frozen ones stay for the next pass. */
export function disposeCasts(casts: readonly Tensor[]): void {
  for (const cast of casts) if (cast.requiresGrad) cast.dispose();
}

/** Ends the cast of a frozen parameter, where there is one: its model ends. */
export function dropFrozenCast(parameter: Tensor): void {
  frozenCasts.get(parameter)?.cast.dispose();
  frozenCasts.delete(parameter);
}
