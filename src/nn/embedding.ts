// Token embedding. With a region each rank has some rows of the vocabulary (vocabulary-parallel.ts).
import { embedding, embeddingDenseBackward, noGrad, type Tensor } from "../torch/index.ts";
import type { TensorRegion } from "./regions.ts";
import { embedOwnTokens, embedOwnTokensBackward } from "./vocabulary-parallel.ts";

/** [T] to [T, D]. */
export class Embedding {
  /** [V, D]. */
  readonly weight: Tensor;
  readonly #region: TensorRegion | undefined;
  /** What its rows are multiplied by. */
  readonly #scale: number;

  constructor(weight: Tensor, region?: TensorRegion, scale = 1) {
    this.weight = weight;
    this.#region = region;
    this.#scale = scale;
  }

  /** tokens: [T], int64. Makes no graph. */
  forward(tokens: Tensor): Tensor {
    const region = this.#region;
    return noGrad(() => {
      const rows =
        region === undefined
          ? embedding(this.weight, tokens)
          : region.scatterSequence(embedOwnTokens(region, this.weight, tokens));
      return this.#scale === 1 ? rows : rows.mul_(this.#scale);
    });
  }

  /**
   * Adds the gradient to `weight.grad`. Where the head has left one there (tied weights), only the rows of the batch's
   * tokens are touched.
   */
  backward(tokens: Tensor, gradOutput: Tensor): void {
    if (!this.weight.requiresGrad) return;
    if (this.#scale !== 1) {
      new Embedding(this.weight, this.#region).backward(tokens, gradOutput.mul(this.#scale));
      return;
    }
    if (this.#region !== undefined) {
      embedOwnTokensBackward(this.#region, this.weight, tokens, gradOutput);
      return;
    }
    const found = this.weight.grad;
    const own = gradOutput.to(this.weight.dtype);
    if (found) noGrad(() => found.indexAdd_(0, tokens, own));
    else this.weight.grad = embeddingDenseBackward(own, tokens, this.weight.size(0), -1, false);
  }
}
