// A low-rank update of a frozen matrix: LoRA (Hu et al. 2021, https://arxiv.org/abs/2106.09685), rank-stabilized LoRA
// (Kalajdzievski 2023, https://arxiv.org/abs/2312.03732), which scales it otherwise, and DoRA (Liu et al. 2024,
// https://arxiv.org/abs/2402.09353), which also learns how long the rows of the sum are. Computes as PEFT does. Where it joins
// the base's product is linear.ts's; which matrices have one is declared (AdapterSpec).
import { fused, noGrad, type Dtype, type Tensor } from "../torch/index.ts";
import { castWeight } from "./cast.ts";
import type { DropoutMasks } from "./dropout.ts";
import type { TensorRegion } from "./regions.ts";

/** What is declared of a matrix's adapter beside its parameters. */
export interface AdapterSpec {
  /** The layer whose matrix it is, as Hugging Face names it: `model.layers.0.self_attn.q_proj`. */
  readonly module: string;
  /** What the update is multiplied by: alpha / rank, or alpha / √rank. */
  readonly scale: number;
  /** Probability with which an element of its input is dropped in training. */
  readonly dropout: number;
}

export interface LowRankParts {
  /** [r, I]. */
  readonly a: Tensor;
  /** [O, r]. */
  readonly b: Tensor;
  /** DoRA: how long the rows of the adapted matrix are, [O]. */
  readonly magnitude?: Tensor | undefined;
}

/** The matrix [O, I] that is adapted. */
export interface BaseMatrix {
  /** x @ Wᵀ. */
  times(x: Tensor): Tensor;
  /** As numbers, [inputs] to a row. */
  matrix(inputs: number, dtype: Dtype): Tensor;
}

export class LowRank {
  /** [r, I]. */
  readonly a: Tensor;
  readonly #parts: LowRankParts;
  readonly #spec: Pick<AdapterSpec, "scale" | "dropout">;

  constructor(parts: LowRankParts, spec: Pick<AdapterSpec, "scale" | "dropout">) {
    this.a = parts.a;
    this.#parts = parts;
    this.#spec = spec;
  }

  get parameters(): Tensor[] {
    const { a, b, magnitude } = this.#parts;
    return magnitude === undefined ? [a, b] : [a, b, magnitude];
  }

  cast(dtype: Dtype): LowRank {
    const { a, b, magnitude } = this.#parts;
    const parts = {
      a: castWeight(a, dtype),
      b: castWeight(b, dtype),
      magnitude: magnitude && castWeight(magnitude, dtype),
    };
    return new LowRank(parts, this.#spec);
  }

  /** Whether its part can be added to anything that the base's product is added to: not DoRA's, which rescales the product. */
  get isAdditive(): boolean {
    return this.#parts.magnitude === undefined;
  }

  /** Whether this pass computes with other inputs than the base's product. */
  drops(masks: DropoutMasks | undefined): boolean {
    return masks !== undefined && this.#spec.dropout > 0;
  }

  /** base + scale · hidden @ Bᵀ. @param hidden x @ Aᵀ: [T, r] */
  addHidden(base: Tensor, hidden: Tensor): Tensor {
    return fused.addLinear(base, hidden.mul(this.#spec.scale), this.#parts.b);
  }

  /**
   * The adapted product of x: [T, I], without the bias: [T, O].
   * @param own x @ Wᵀ; of an additive one also with what is added to it
   * @param region where x and W have this rank's columns alone
   */
  adapt(
    own: Tensor,
    x: Tensor,
    base: BaseMatrix,
    { masks, region }: { masks?: DropoutMasks | undefined; region?: TensorRegion | undefined },
  ): Tensor {
    const { a, magnitude } = this.#parts;
    const input = this.drops(masks) ? masks!.drop(x, this.#spec.dropout) : x;
    const hidden = fused.linear(input, a);
    if (magnitude === undefined) return this.addHidden(own, hidden);
    // As in PEFT the norm is a constant in backward (section 4.3 of the paper).
    const length = magnitude.div(this.#rowNorms(base, region));
    if (input === x) return this.addHidden(own, hidden).mul(length);
    const ofDropped = base.times(input);
    return this.addHidden(ofDropped, hidden).mul(length).add(own).sub(ofDropped);
  }

  /** How long the rows of W + scale · B A are: [O]. */
  #rowNorms(base: BaseMatrix, region: TensorRegion | undefined): Tensor {
    const { a, b } = this.#parts;
    return noGrad(() => {
      const sum = base.matrix(a.size(1), a.dtype).addmm(b, a, { alpha: this.#spec.scale });
      const squares = sum.square().sum([1]);
      return (region?.reduce(squares, "sum") ?? squares).sqrt();
    });
  }
}
