// The language-model head: final norm, projection to the vocabulary, and the loss. The logits of a batch never exist at once.
// With a region each rank has some rows of the vocabulary (vocabulary-parallel.ts).
import { fused, grad, noGrad, type Dtype, type Tensor } from "../torch/index.ts";
import { accumulate } from "./accumulate.ts";
import type { Linear } from "./linear.ts";
import type { TensorRegion } from "./regions.ts";
import type { RMSNorm } from "./rms-norm.ts";
import {
  vocabularyLogProbabilities,
  vocabularyLoss,
  wholeVocabulary,
  type VocabularyRegion,
} from "./vocabulary-parallel.ts";

export interface HeadLossOptions {
  /** What the loss is multiplied by. */
  readonly scale: number;
  /** Logits held at once; 0, the default, lets the operator choose. */
  readonly chunk?: number;
  /** How much each position's loss counts: [T]. Default: all 1. */
  readonly tokenWeights?: Tensor | undefined;
}

/** What happens to logits before the loss. */
export interface LogitsOptions {
  /** What they are multiplied by. Default 1. */
  readonly scale?: number;
  /** Bounds logits z to softCap * tanh(z / softCap). */
  readonly softCap?: number | undefined;
}

export class LMHead {
  readonly #norm: RMSNorm;
  /** Its weight [V, D] is the embedding's own where the two are tied. */
  readonly #projection: Linear;
  readonly #region: TensorRegion | undefined;
  readonly #options: LogitsOptions;

  constructor(norm: RMSNorm, projection: Linear, region?: TensorRegion, options: LogitsOptions = {}) {
    this.#norm = norm;
    this.#projection = projection;
    this.#region = region;
    this.#options = options;
  }

  /** Where the loss isn't a fused operator's: ranks have parts of the vocabulary, or logits are capped. */
  #composed(x: Tensor): VocabularyRegion | undefined {
    return this.#region ?? (this.#options.softCap === undefined ? undefined : wholeVocabulary(x));
  }

  /** [n, D] to the same. The logits' factor is that of what they are products of. */
  #normed(x: Tensor): Tensor {
    const { scale = 1 } = this.#options;
    const normed = this.#norm.forward(x);
    return scale === 1 ? normed : normed.mul(scale);
  }

  get parameters(): Tensor[] {
    return [...this.#norm.parameters, ...this.#projection.parameters];
  }

  cast(dtype: Dtype): LMHead {
    return new LMHead(this.#norm.cast(dtype), this.#projection.cast(dtype), this.#region, this.#options);
  }

  /** Logits of hidden states x: [n, D] to [n, V]. With a region: of whole sequences, without a gradient. */
  logits(x: Tensor): Tensor {
    const { softCap } = this.#options;
    const plain = this.#projection.forward(this.#normed(x));
    const own = softCap === undefined ? plain : plain.div(softCap).tanh().mul(softCap);
    return this.#region?.joinColumns(own) ?? own;
  }

  /**
   * Log-probabilities of the labels: [T], 0 where there is none (-100). Without a gradient.
   * @param x hidden states: [T, D]
   * @param labels [T]
   * @param chunk see HeadLossOptions
   */
  logProbabilities(x: Tensor, labels: Tensor, chunk = 0): Tensor {
    return noGrad(() => {
      const head = this.#in(x.dtype);
      const hidden = head.#hidden(x, labels);
      const { weight } = head.#projection;
      const region = this.#composed(x);
      const { softCap } = this.#options;
      if (region !== undefined)
        return vocabularyLogProbabilities({ region, hidden, weight, labels, chunk, softCap });
      return fused.linearLogProbabilities(hidden, weight, labels, { chunkSize: chunk });
    });
  }

  /** Sum of the token losses of x: [T, D] with labels: [T] (-100: none), times `scale`. */
  loss(x: Tensor, labels: Tensor, options: HeadLossOptions): Tensor {
    const { scale, chunk = 0, tokenWeights } = options;
    const hidden = this.#hidden(x, labels);
    const { weight } = this.#projection;
    const region = this.#composed(x);
    const { softCap } = this.#options;
    if (region !== undefined)
      return vocabularyLoss({ region, hidden, weight, labels, scale, chunk, tokenWeights, softCap }).loss;
    const how = { chunkSize: chunk, scale, tokenWeights };
    return fused.linearCrossEntropy(hidden, weight, labels, how)[0];
  }

  /** The loss and the gradient with respect to x; gradients of the parameters are added to their `.grad`. */
  lossAndGradient(x: Tensor, labels: Tensor, options: HeadLossOptions): { loss: Tensor; gradX: Tensor } {
    const input = x.detach().requiresGrad_();
    const head = this.#in(x.dtype);
    const region = this.#composed(x);
    if (region !== undefined) return this.#composedGradient(region, head, input, labels, options);
    const loss = head.loss(input, labels, options);
    const trained = this.parameters.filter((one) => one.requiresGrad);
    const leaves = head.parameters.filter((one) => one.requiresGrad);
    const [gradX, ...rest] = grad(loss, [input, ...leaves]) as [Tensor, ...Tensor[]];
    for (const [i, parameter] of trained.entries()) accumulate(parameter, rest[i]!);
    return { loss: loss.detach(), gradX };
  }

  /** The same where the graph holds norm and gather, and the loss makes its own gradients. */
  #composedGradient(
    region: VocabularyRegion,
    head: LMHead,
    input: Tensor,
    labels: Tensor,
    { scale, chunk = 0, tokenWeights }: HeadLossOptions,
  ): { loss: Tensor; gradX: Tensor } {
    const hidden = head.#hidden(input, labels);
    const { weight } = head.#projection;
    const norm = head.#norm.weight;
    const found = vocabularyLoss({
      region,
      hidden: hidden.detach(),
      weight,
      labels,
      scale,
      chunk,
      tokenWeights,
      softCap: this.#options.softCap,
      gradients: { weight: weight.requiresGrad },
    });
    const leaves = norm.requiresGrad ? [input, norm] : [input];
    const [gradX, gradNorm] = grad(hidden, leaves, [found.gradHidden!]) as [Tensor, Tensor | undefined];
    if (gradNorm !== undefined) accumulate(this.#norm.weight, gradNorm);
    if (found.gradWeight !== undefined) accumulate(this.#projection.weight, found.gradWeight);
    return { loss: found.loss, gradX };
  }

  /** The head with weights of this type. */
  #in(dtype: Dtype): LMHead {
    return dtype === this.#projection.weight.dtype ? this : this.cast(dtype);
  }

  /** Normalized hidden states of the whole sequence: [T, D]. */
  #hidden(x: Tensor, labels: Tensor): Tensor {
    const normed = this.#normed(x);
    return this.#region?.gatherSequence(normed, labels.size(0)) ?? normed;
  }
}
