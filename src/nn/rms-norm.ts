// Root mean square normalization (Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467).
import { fused, type Dtype, type Tensor } from "../torch/index.ts";
import { castWeight } from "./cast.ts";

export class RMSNorm {
  /** [D]. */
  readonly weight: Tensor;
  readonly eps: number;

  constructor(weight: Tensor, eps: number) {
    this.weight = weight;
    this.eps = eps;
  }

  get parameters(): Tensor[] {
    return [this.weight];
  }

  /** x: [.., D] to the same. */
  forward(x: Tensor): Tensor {
    return fused.rmsNorm(x, this.weight, this.eps);
  }

  cast(dtype: Dtype): RMSNorm {
    return new RMSNorm(castWeight(this.weight, dtype), this.eps);
  }
}
