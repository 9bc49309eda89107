// Token embedding. With a region each rank has some rows of the vocabulary (vocabulary-parallel.ts).
import { embedding, embeddingDenseBackward, noGrad, type Tensor } from "../torch/index.ts";
import type { TensorRegion } from "./regions.ts";
import { embedOwnTokens, embedOwnTokensBackward } from "./vocabulary-parallel.ts";

/** [T] to [T, D]. */
export class Embedding {
  /** [V, D]. */
  readonly weight: Tensor;
  readonly #region: TensorRegion | undefined;

  constructor(weight: Tensor, region?: TensorRegion) {
    this.weight = weight;
    this.#region = region;
  }

  /** tokens: [T], int64. Makes no graph. */
  forward(tokens: Tensor): Tensor {
    const region = this.#region;
    return noGrad(() =>
      region === undefined
        ? embedding(this.weight, tokens)
        : region.scatterSequence(embedOwnTokens(region, this.weight, tokens)),
    );
  }

  /**
   * Adds the gradient to `weight.grad`. Where the head has left one there (tied weights), only the rows of the batch's
   * tokens are touched.
   */
  backward(tokens: Tensor, gradOutput: Tensor): void {
    if (!this.weight.requiresGrad) return;
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
