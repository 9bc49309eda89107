// Experts as gpt-oss has them (OpenAI 2025, https://arxiv.org/abs/2508.10925): the matrices of all lie in one tensor, [inputs, outputs]
// each, with biases, gate and up in turns; the gate is bounded, and up is added to 1. Composed of libtorch's operators, an expert
// at a time.
import { cat, fused, split, type Dtype, type Tensor } from "../torch/index.ts";
import { castWeight } from "./cast.ts";
import { recordProduct } from "./products.ts";
import type { ExpertChoice } from "./regions.ts";

export interface StackedExpertsParts {
  /** [E, D, 2I]; columns 2i are gates, 2i + 1 ups. */
  readonly gateUp: Tensor;
  /** [E, 2I]. */
  readonly gateUpBias: Tensor;
  /** [E, I, D]. */
  readonly down: Tensor;
  /** [E, D]. */
  readonly downBias: Tensor;
}

export interface ClampedSwiglu {
  /** (up + 1) * gate * sigmoid(alpha * gate), of gates up to `limit` and ups within it. */
  readonly alpha: number;
  readonly limit: number;
}

export class StackedExperts {
  readonly #parts: StackedExpertsParts;
  readonly #activation: ClampedSwiglu;

  constructor(parts: StackedExpertsParts, activation: ClampedSwiglu) {
    this.#parts = parts;
    this.#activation = activation;
  }

  get parameters(): Tensor[] {
    const { gateUp, gateUpBias, down, downBias } = this.#parts;
    return [gateUp, gateUpBias, down, downBias];
  }

  cast(dtype: Dtype): StackedExperts {
    const [gateUp, gateUpBias, down, downBias] = this.parameters.map((one) => castWeight(one, dtype)) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    return new StackedExperts({ gateUp, gateUpBias, down, downBias }, this.#activation);
  }

  /** rows: [R, D] to the same: of each the sum of what its experts make of it, times their weights. */
  run(rows: Tensor, { order, weights, counts }: ExpertChoice): Tensor {
    const { gateUp, gateUpBias, down, downBias } = this.#parts;
    const choices = weights.size(1);
    const sizes = counts.to("cpu").tolist() as number[];
    const parts = split(fused.spreadRows(rows, order, choices), sizes, 0);
    const made = parts.flatMap((part, e) => {
      if (sizes[e] === 0) return [];
      const both = part.matmul(gateUp.select(0, e)).add(gateUpBias.select(0, e));
      return [this.#gated(both).matmul(down.select(0, e)).add(downBias.select(0, e))];
    });
    const shares = weights.reshape([-1]).indexSelect(0, order).unsqueeze(1);
    const weighted = cat(made).mul(shares).to(rows.dtype);
    const output = fused.collectRows(weighted, order, choices);
    recordProduct([output], this.parameters);
    return output;
  }

  #gated(both: Tensor): Tensor {
    const { alpha, limit } = this.#activation;
    const [gates, ups] = [0, 1].map((i) => both.view([both.size(0), -1, 2]).select(2, i)) as [Tensor, Tensor];
    const gate = gates.clamp(null, limit);
    return ups.clamp(-limit, limit).add(1).mul(gate).mul(gate.mul(alpha).sigmoid());
  }
}
