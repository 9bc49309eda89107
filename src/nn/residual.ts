// How what a layer's part makes of its input is added to it: as it is, or normalized (Gemma 2, OLMo 2), or scaled (Granite).
import { zeros, type Dtype, type Tensor } from "../torch/index.ts";
import type { RMSNorm } from "./rms-norm.ts";

export class Residual {
  readonly norm: RMSNorm | undefined;
  readonly scale: number;

  constructor(norm?: RMSNorm, scale = 1) {
    this.norm = norm;
    this.scale = scale;
  }

  get parameters(): Tensor[] {
    return this.norm?.parameters ?? [];
  }

  cast(dtype: Dtype): Residual {
    return new Residual(this.norm?.cast(dtype), this.scale);
  }

  /** @param addTo adds the part's output to what it is given: [T, D] to the same */
  add(x: Tensor, addTo: (base: Tensor) => Tensor): Tensor {
    if (this.norm === undefined && this.scale === 1) return addTo(x);
    const { dtype, device } = x;
    const made = addTo(zeros(x.shape, { dtype, device }));
    const normed = this.norm?.forward(made) ?? made;
    return x.add(this.scale === 1 ? normed : normed.mul(this.scale));
  }
}
