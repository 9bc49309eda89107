// Root mean square normalization (Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467).
import { bfloat16, call, float16, float32, fused, type Dtype, type Tensor } from "../torch/index.ts";
import { castWeight } from "./cast.ts";
import type { TensorRegion } from "./regions.ts";

export class RMSNorm {
  /** [D]. */
  readonly weight: Tensor;
  readonly eps: number;
  /** What the weight is added to before it scales: 1 in Gemma, whose weights are near 0. */
  readonly offset: 0 | 1;

  constructor(weight: Tensor, eps: number, offset: 0 | 1 = 0) {
    this.weight = weight;
    this.eps = eps;
    this.offset = offset;
  }

  get parameters(): Tensor[] {
    return [this.weight];
  }

  /** What normalized values are multiplied by: [D]. */
  get scale(): Tensor {
    return this.offset === 0 ? this.weight : this.weight.add(this.offset);
  }

  /** Whether a fused operator that takes `scale` gives the same: 1 + w has too few bits in a narrow type. */
  get fuses(): boolean {
    return this.offset === 0 || !isNarrow(this.weight.dtype);
  }

  /** x: [.., D] to the same. */
  forward(x: Tensor): Tensor {
    if (this.fuses) return fused.rmsNorm(x, this.scale, this.eps);
    const scale = this.weight.to(float32).add(this.offset);
    return fused.rmsNorm(x.to(float32), scale, this.eps).to(x.dtype);
  }

  /** The same where each rank has some of the columns: x: [.., D / ranks], the mean of squares is over those of all. */
  forwardDivided(x: Tensor, region: TensorRegion): Tensor {
    const wide = isNarrow(x.dtype) ? x.to(float32) : x;
    const squares = region.sumOverRanks(wide.pow(2).sum([-1], { keepdim: true }));
    const normed = wide.mul(call("aten::rsqrt", squares.div(x.size(-1) * region.size).add(this.eps)));
    return normed.mul(this.scale).to(x.dtype);
  }

  cast(dtype: Dtype): RMSNorm {
    return new RMSNorm(castWeight(this.weight, dtype), this.eps, this.offset);
  }
}

const isNarrow = (dtype: Dtype): boolean => dtype === bfloat16 || dtype === float16;
