// Embedding and loss where each rank of a tensor-parallel group has V / ranks rows of the vocabulary: token v is rank
// floor(v / rows)'s. The logits of all tokens never exist anywhere; of a chunk of labelled rows each rank has its own columns,
// and the ranks exchange three numbers a row: the greatest logit, the sum of exponentials, the label's logit.
// Source: Shoeybi et al. 2019, https://arxiv.org/abs/1909.08053, section 3.
import type { TensorRegion } from "../parallel/index.ts";
import {
  embedding,
  embeddingDenseBackward,
  float32,
  float64,
  linear,
  noGrad,
  scope,
  stack,
  zeros,
  type Tensor,
} from "../torch/index.ts";

/** Rows of a chunk where the caller names no limit. */
const defaultRows = 512;

/** Where tokens are in this rank's rows of the vocabulary: places (0 for those of other ranks), and which are its own. */
function ownTokens(region: TensorRegion, weight: Tensor, tokens: Tensor): { at: Tensor; isOwn: Tensor } {
  const rows = weight.size(0);
  const at = tokens.sub(region.rank * rows);
  const isOwn = at.ge(0).bitwiseAnd(at.lt(rows));
  return { at: at.mul(isOwn), isOwn };
}

/** This rank's share of the embedding of tokens: [T] to [T, D], zeros for the tokens of other ranks. */
export function embedOwnTokens(region: TensorRegion, weight: Tensor, tokens: Tensor): Tensor {
  const { at, isOwn } = ownTokens(region, weight, tokens);
  return embedding(weight, at).mul(isOwn.unsqueeze(1));
}

/** Adds the gradient to `weight.grad`. gradOutput: [ceil(T / ranks), D], of this rank's stretch of the sequence. */
export function embedOwnTokensBackward(
  region: TensorRegion,
  weight: Tensor,
  tokens: Tensor,
  gradOutput: Tensor,
): void {
  noGrad(() => {
    const whole = region.enter(gradOutput, tokens.size(0));
    const { at, isOwn } = ownTokens(region, weight, tokens);
    const mine = isOwn.nonzero().flatten();
    const rows = whole.indexSelect(0, mine).to(weight.dtype);
    const ids = at.indexSelect(0, mine);
    const found = weight.grad;
    if (found) found.indexAdd_(0, ids, rows);
    else weight.grad = embeddingDenseBackward(rows, ids, weight.size(0), -1, false);
  });
}

export interface VocabularyLossOptions {
  readonly region: TensorRegion;
  /** [T, D], the same on every rank. */
  readonly hidden: Tensor;
  /** [V / ranks, D]. */
  readonly weight: Tensor;
  /** [T], int64; -100: none. */
  readonly labels: Tensor;
  readonly scale: number;
  /** Logits of the whole vocabulary that the ranks hold together at once; 0: those of 512 rows. */
  readonly chunk: number;
  /** Wanted, or the loss alone. */
  readonly gradients?: { readonly weight: boolean };
}

export interface VocabularyLoss {
  /** Sum of the token losses times the scale: a scalar, the same on every rank. */
  readonly loss: Tensor;
  /** [T, D]: this rank's share of the gradient, to be summed over the ranks. */
  readonly gradHidden: Tensor | undefined;
  /** Of this rank's rows. */
  readonly gradWeight: Tensor | undefined;
}

/** `scale * Σ -log softmax(hidden @ weightᵀ)[label]` over the labelled positions, with its gradients. Makes no graph. */
export function vocabularyLoss(options: VocabularyLossOptions): VocabularyLoss {
  return noGrad(() => {
    using s = scope();
    const { region, hidden, weight, labels, chunk, gradients } = options;
    const { device } = hidden;
    const wide = hidden.dtype === float64 ? float64 : float32;
    const labelled = labels.ne(-100).nonzero().flatten();
    const vocabulary = weight.size(0) * region.size;
    const most = labelled.size(0) > 0 ? labels.amax().item() : 0;
    if (most >= vocabulary) throw new Error(`label ${most} is not in the vocabulary of ${vocabulary} tokens`);
    const rows = chunk > 0 ? Math.max(1, Math.floor(chunk / vocabulary)) : defaultRows;
    const loss = zeros([], { dtype: wide, device });
    const gradHidden = gradients && zeros(hidden.shape, { dtype: hidden.dtype, device });
    const gradWeight = gradients?.weight ? zeros(weight.shape, { dtype: wide, device }) : undefined;
    for (let from = 0; from < labelled.size(0); from += rows) {
      using inner = scope();
      void inner;
      const at = labelled.narrow(0, from, Math.min(rows, labelled.size(0) - from));
      const x = hidden.indexSelect(0, at);
      const { lossOfRows, gradLogits } = lossOf(options, x, labels.indexSelect(0, at), wide);
      loss.add_(lossOfRows);
      const narrow = gradLogits.to(x.dtype);
      gradHidden?.indexCopy_(0, at, narrow.matmul(weight));
      gradWeight?.add_(seen(region, narrow.t().matmul(x), wide));
    }
    s.keep(loss);
    if (gradHidden) s.keep(gradHidden);
    if (gradWeight) s.keep(gradWeight);
    return { loss: loss.mul_(options.scale), gradHidden, gradWeight };
  });
}

/** Adding numbers of another type makes a copy on a CPU: then rather one that is seen, and counted where memory is measured. */
function seen(region: TensorRegion, product: Tensor, wide: Tensor["dtype"]): Tensor {
  return region.onHost ? product.to(wide) : product;
}

/** Of rows x: [n, D] with labels: [n]: the sum of their losses, and the gradient of this rank's logits [n, V / ranks]. */
function lossOf(
  { region, weight, scale }: VocabularyLossOptions,
  x: Tensor,
  labels: Tensor,
  wide: Tensor["dtype"],
): { lossOfRows: Tensor; gradLogits: Tensor } {
  const logits = linear(x, weight).to(wide);
  const { at, isOwn } = ownTokens(region, weight, labels);
  const column = at.unsqueeze(1);
  const own = isOwn.to(wide);
  let most: Tensor;
  let sum: Tensor;
  let target: Tensor;
  if (region.lossParallel) {
    most = region.reduce(logits.amax(1), "max");
    target = logits.gather(1, column).squeeze(1).mul(own);
    logits.sub_(most.unsqueeze(1)).exp_();
    const both = region.reduce(stack([logits.sum(1), target]), "sum");
    [sum, target] = [both.select(0, 0), both.select(0, 1)];
  } else {
    const all = region.joinColumns(logits);
    most = all.amax(1);
    target = all.gather(1, labels.unsqueeze(1)).squeeze(1);
    sum = all.sub_(most.unsqueeze(1)).exp_().sum(1);
    logits.sub_(most.unsqueeze(1)).exp_();
  }
  const lossOfRows = sum.log().add_(most).sub_(target).sum();
  const gradLogits = logits.div_(sum.unsqueeze(1)).scatterAdd_(1, column, own.neg().unsqueeze(1));
  return { lossOfRows, gradLogits: gradLogits.mul_(scale) };
}
