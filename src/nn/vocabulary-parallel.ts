// Embedding and loss where each rank of a tensor-parallel group has V / ranks rows of the vocabulary: token v is rank
// floor(v / rows)'s. The logits of all tokens never exist anywhere; of a chunk of labelled rows each rank has its own columns,
// and the ranks exchange three numbers a row: the greatest logit, the sum of exponentials, the label's logit.
// Source: Shoeybi et al. 2019, https://arxiv.org/abs/1909.08053, section 3.
import {
  embedding,
  embeddingDenseBackward,
  float32,
  float64,
  fused,
  noGrad,
  scope,
  stack,
  zeros,
  type Dtype,
  type Tensor,
} from "../torch/index.ts";
import type { TensorRegion } from "./regions.ts";

/** What a loss needs of the ranks that have the vocabulary. */
export type VocabularyRegion = Pick<
  TensorRegion,
  "rank" | "size" | "onHost" | "lossParallel" | "reduce" | "joinColumns"
>;

/** Where this process has all of it, and its loss is none that a fused operator has. */
export const wholeVocabulary = ({ device }: Tensor): VocabularyRegion => ({
  rank: 0,
  size: 1,
  onHost: device.type === "cpu",
  lossParallel: true,
  reduce: (tensor) => tensor,
  joinColumns: (part) => part,
});

/** Rows of a chunk where the caller names no limit. */
const defaultRows = 512;

/** Where tokens are in this rank's rows of the vocabulary: places (0 for those of other ranks), and which are its own. */
function ownTokens(
  region: Pick<TensorRegion, "rank">,
  weight: Tensor,
  tokens: Tensor,
): { at: Tensor; isOwn: Tensor } {
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

/** Adds the gradient to `weight.grad`. gradOutput: [ceil(T / ranks), D], of this rank's shard of the sequence. */
export function embedOwnTokensBackward(
  region: TensorRegion,
  weight: Tensor,
  tokens: Tensor,
  gradOutput: Tensor,
): void {
  noGrad(() => {
    const whole = region.gatherSequence(gradOutput, tokens.size(0));
    const { at, isOwn } = ownTokens(region, weight, tokens);
    const mine = isOwn.nonzero().flatten();
    const rows = whole.indexSelect(0, mine).to(weight.dtype);
    const ids = at.indexSelect(0, mine);
    const found = weight.grad;
    if (found) found.indexAdd_(0, ids, rows);
    else weight.grad = embeddingDenseBackward(rows, ids, weight.size(0), -1, false);
  });
}

/** The head's inputs, in chunks of labelled rows. */
export interface VocabularyRows {
  readonly region: VocabularyRegion;
  /** [T, D], the same on every rank. */
  readonly hidden: Tensor;
  /** [V / ranks, D]. */
  readonly weight: Tensor;
  /** [T], int64; -100: none. */
  readonly labels: Tensor;
  /** Logits of the whole vocabulary that the ranks hold together at once; 0: those of 512 rows. */
  readonly chunk: number;
  /** Bounds logits z to softCap * tanh(z / softCap) (Gemma 2). */
  readonly softCap?: number | undefined;
}

export interface VocabularyLossOptions extends VocabularyRows {
  readonly scale: number;
  /** How much each position's loss counts: [T]. Default: all 1. */
  readonly tokenWeights?: Tensor | undefined;
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

/**
 * `scale * Σ -tokenWeight * log softmax(hidden @ weightᵀ)[label]` over the labelled positions, with its gradients. Makes no
 * graph.
 */
export function vocabularyLoss(options: VocabularyLossOptions): VocabularyLoss {
  return noGrad(() => {
    using s = scope();
    const { region, hidden, weight, tokenWeights, scale, gradients } = options;
    const { device } = hidden;
    const wide = wideOf(hidden);
    const loss = zeros([], { dtype: wide, device });
    const gradHidden = gradients && zeros(hidden.shape, { dtype: hidden.dtype, device });
    const gradWeight = gradients?.weight ? zeros(weight.shape, { dtype: wide, device }) : undefined;
    forEachChunk(options, ({ at, x, column, own, statistics }) => {
      const { logits, slope, most, sum, target } = statistics;
      const by = tokenWeights?.indexSelect(0, at).to(wide);
      const lossOfRows = sum.log().add_(most).sub_(target);
      if (by) lossOfRows.mul_(by);
      loss.add_(lossOfRows.sum());
      const gradLogits = logits.div_(sum.unsqueeze(1)).scatterAdd_(1, column, own.neg().unsqueeze(1));
      if (by) gradLogits.mul_(by.unsqueeze(1));
      if (slope) gradLogits.mul_(slope);
      const narrow = gradLogits.mul_(scale).to(x.dtype);
      gradHidden?.indexCopy_(0, at, fused.linear(narrow, weight.t()));
      gradWeight?.add_(seen(region, fused.linearWeightGradient(narrow, x), wide));
    });
    s.keep(loss);
    if (gradHidden) s.keep(gradHidden);
    if (gradWeight) s.keep(gradWeight);
    return { loss: loss.mul_(options.scale), gradHidden, gradWeight };
  });
}

/** The labels' log-probabilities: [T], 0 where there is no label. Makes no graph; the same on every rank. */
export function vocabularyLogProbabilities(rows: VocabularyRows): Tensor {
  return noGrad(() => {
    using s = scope();
    const { labels, hidden } = rows;
    const found = zeros(labels.shape, { dtype: wideOf(hidden), device: hidden.device });
    forEachChunk(rows, ({ at, statistics: { most, sum, target } }) => {
      found.indexCopy_(0, at, target.sub(sum.log().add_(most)));
    });
    return s.keep(found);
  });
}

/** The type in which losses are computed. */
const wideOf = (hidden: Tensor): Dtype => (hidden.dtype === float64 ? float64 : float32);

/** Adding numbers of another type makes a copy on a CPU: then rather one that is seen, and counted where memory is measured. */
function seen(region: VocabularyRegion, product: Tensor, wide: Dtype): Tensor {
  return region.onHost ? product.to(wide) : product;
}

/** Of some labelled rows. */
interface Chunk {
  /** Which rows: [n]. */
  readonly at: Tensor;
  /** [n, D]. */
  readonly x: Tensor;
  /** Place of the label among this rank's rows of the vocabulary: [n, 1]; 0 where it is another rank's. */
  readonly column: Tensor;
  /** 1 where the label is this rank's, else 0: [n]. */
  readonly own: Tensor;
  readonly statistics: {
    /** exp(logit - most) of this rank's columns: [n, V / ranks]. */
    readonly logits: Tensor;
    /** Of soft-capped logits the derivative with respect to what they were: like `logits`. */
    readonly slope: Tensor | undefined;
    /** The greatest logit, the sum of exp(logit - most), the label's logit: [n] each, the same on every rank. */
    readonly most: Tensor;
    readonly sum: Tensor;
    readonly target: Tensor;
  };
}

/** Calls `body` with the labelled rows, some at a time; what it makes ends with the chunk. */
function forEachChunk(rows: VocabularyRows, body: (chunk: Chunk) => void): void {
  const { region, hidden, weight, labels, chunk } = rows;
  const labelled = labels.ne(-100).nonzero().flatten();
  const vocabulary = weight.size(0) * region.size;
  const most = labelled.size(0) > 0 ? labels.amax().item() : 0;
  if (most >= vocabulary) throw new Error(`label ${most} is not in the vocabulary of ${vocabulary} tokens`);
  const atOnce = chunk > 0 ? Math.max(1, Math.floor(chunk / vocabulary)) : defaultRows;
  for (let from = 0; from < labelled.size(0); from += atOnce) {
    using _ = scope();
    const at = labelled.narrow(0, from, Math.min(atOnce, labelled.size(0) - from));
    const x = hidden.indexSelect(0, at);
    body({ at, x, ...statisticsOf(rows, x, labels.indexSelect(0, at)) });
  }
}

/** Of rows x: [n, D] with labels: [n]. */
function statisticsOf(
  { region, weight, softCap }: VocabularyRows,
  x: Tensor,
  labels: Tensor,
): Omit<Chunk, "at" | "x"> {
  const wide = wideOf(x);
  const logits = fused.linear(x, weight).to(wide);
  let slope: Tensor | undefined;
  if (softCap !== undefined) {
    logits.div_(softCap).tanh_();
    slope = logits.pow(2).neg_().add_(1);
    logits.mul_(softCap);
  }
  const { at, isOwn } = ownTokens(region, weight, labels);
  const column = at.unsqueeze(1);
  const own = isOwn.to(wide);
  if (region.lossParallel) {
    const most = region.reduce(logits.amax(1), "max");
    const label = logits.gather(1, column).squeeze(1).mul(own);
    logits.sub_(most.unsqueeze(1)).exp_();
    const both = region.reduce(stack([logits.sum(1), label]), "sum");
    const [sum, target] = [both.select(0, 0), both.select(0, 1)];
    return { column, own, statistics: { logits, slope, most, sum, target } };
  }
  const all = region.joinColumns(logits);
  const most = all.amax(1);
  const target = all.gather(1, labels.unsqueeze(1)).squeeze(1);
  const sum = all.sub_(most.unsqueeze(1)).exp_().sum(1);
  logits.sub_(most.unsqueeze(1)).exp_();
  return { column, own, statistics: { logits, slope, most, sum, target } };
}
