// What the ranks of a model-parallel group do together inside a layer. Layers call it, and know nothing else of how a model is
// divided; src/parallel implements it.
import type { Tensor } from "../torch/index.ts";
import type { AttentionVariant } from "./document-attention.ts";

/**
 * Ranks that have a part of each matrix (tensor parallelism). Between layers a rank has one shard of the sequence: rows of
 * [T, D] in equal chunks, the last one padded with zeros.
 */
export interface TensorRegion {
  readonly rank: number;
  readonly size: number;
  /** Whether it computes on CPUs, or stands for those. */
  readonly onHost: boolean;
  /** False: the loss is of gathered logits. */
  readonly lossParallel: boolean;
  /** True: experts are whole, and get the tokens of each rank's shard by themselves. */
  readonly wholeExperts: boolean;
  /** Each rank's shard [ceil(T / ranks), D] together: [T, D]. Differentiable; the gradient is scattered. */
  gatherSequence(shard: Tensor, tokens: number): Tensor;
  /** This rank's shard of the sum over the ranks: [T, D] to [ceil(T / ranks), D]. Differentiable; the gradient is gathered. */
  scatterSequence(partial: Tensor): Tensor;
  /**
   * `body` of this rank's shard alone, without the padding: [ceil(T / ranks), D] to the same.
   * @param body gets the rows, and where in the sequence they begin
   */
  onShard(shard: Tensor, tokens: number, body: (own: Tensor, from: number) => Tensor): Tensor;
  /** The sum over the ranks, on every rank. Differentiable; the gradient is summed, too. */
  sumOverRanks(part: Tensor): Tensor;
  /** In place, without a gradient: the sum, or the greatest, over the ranks. */
  reduce(tensor: Tensor, op: "sum" | "max"): Tensor;
  /** Each rank's columns [n, v] side by side: [n, ranks * v]. Without a gradient. */
  joinColumns(part: Tensor): Tensor;
}

/** Which experts the rows of a batch go to: pairs of row and choice, sorted by expert. */
export interface ExpertChoice {
  /** row * k + choice: [R * k], int64. */
  readonly order: Tensor;
  /** Of each row's choices: [R, k]. */
  readonly weights: Tensor;
  /** Pairs of each expert: [E], int64. */
  readonly counts: Tensor;
}

/** Runs this process's experts: rows [R, D] that were chosen for them to [R, D]. */
export type RunExperts = (rows: Tensor, choice: ExpertChoice) => Tensor;

/** Ranks that have some of the experts each (expert parallelism). */
export interface ExpertExchange {
  /** Sends rows to the ranks of their experts, and brings back what those make of them: [R, D] to [R, D]. Differentiable. */
  run(x: Tensor, choice: ExpertChoice, experts: RunExperts): Tensor;
}

/** This rank's shard of documents that are divided among ranks (context parallelism). */
export interface SequenceShard {
  /**
   * Attention of this rank's queries q: [T, H, d] to the keys and values of all ranks, of which this one's are k and v:
   * [T, K, d], causal and within documents. [T, H * d]. Differentiable.
   */
  attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionVariant): Tensor;
}
