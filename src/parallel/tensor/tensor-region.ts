// The seams of a layer under tensor parallelism. Between layers a rank has a shard of the sequence: rows of [T, D] in equal
// chunks, the last one padded with zeros. `gatherSequence` puts the sequence together before column layers, `scatterSequence` adds
// up what row layers gave and divides it again; each is the other's gradient. Holds no parameters, and knows no layer.
// Source: Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198 (g and its conjugate).
import { allReduce, differentiable, functional, type ProcessGroup } from "../../comm/index.ts";
import type * as nn from "../../nn/index.ts";
import { cat, type Tensor, zeros } from "../../torch/index.ts";
import { agree } from "../agree.ts";

export interface TensorRegionOptions {
  /** False: the loss is of gathered logits (parallelism.disable_loss_parallel). Default true. */
  readonly lossParallel?: boolean;
  /**
   * True: experts are whole (parallelism.expert_tensor_parallel_degree: 1), and tokens of each rank's shard go to them
   * by themselves. Default false: each rank has a part of its experts, too.
   */
  readonly wholeExperts?: boolean;
}

export class TensorRegion implements nn.TensorRegion {
  readonly lossParallel: boolean;
  readonly wholeExperts: boolean;
  /** False while tokens are generated: every rank then has all rows, and `gatherSequence` has nothing to do. */
  dividesSequence = true;
  readonly #group: ProcessGroup;

  constructor(group: ProcessGroup, { lossParallel = true, wholeExperts = false }: TensorRegionOptions = {}) {
    this.#group = group;
    this.lossParallel = lossParallel;
    this.wholeExperts = wholeExperts;
  }

  get rank(): number {
    return this.#group.rank;
  }
  get size(): number {
    return this.#group.size;
  }

  /** Whether it computes on CPUs, or stands for those. */
  get onHost(): boolean {
    return this.#group.backend === "gloo";
  }

  /** Rows of a rank's shard of a sequence. */
  rowsOf(tokens: number): number {
    return this.dividesSequence ? Math.ceil(tokens / this.size) : tokens;
  }

  /** Each rank's rows [ceil(T / ranks), D] together: [T, D]. Differentiable. */
  gatherSequence(x: Tensor, tokens: number): Tensor {
    if (!this.dividesSequence) return x;
    const whole = differentiable.allGather(x, { group: this.#group });
    return whole.size(0) === tokens ? whole : whole.narrow(0, 0, tokens);
  }

  /** This rank's rows of the sum over the ranks: [T, D] to [ceil(T / ranks), D]. Differentiable. */
  scatterSequence(partial: Tensor): Tensor {
    const group = this.#group;
    if (!this.dividesSequence) return differentiable.reduceFromRegion(partial, { group });
    const [tokens, width] = partial.shape as [number, number];
    const rest = (group.size - (tokens % group.size)) % group.size;
    const { dtype, device } = partial;
    const even = rest === 0 ? partial : cat([partial, zeros([rest, width], { dtype, device })]);
    return differentiable.reduceScatter(even.contiguous(), { group });
  }

  /**
   * `body` of this rank's shard alone: [ceil(T / ranks), D] to the same. It doesn't see the rows that are padding, and of
   * what it gives they are zeros.
   * @param body gets the rows, and where in the sequence they begin
   */
  onShard(x: Tensor, tokens: number, body: (own: Tensor, from: number) => Tensor): Tensor {
    const rows = x.size(0);
    const from = this.dividesSequence ? Math.min(tokens, this.rank * rows) : 0;
    const own = Math.min(rows, tokens - from);
    if (own === rows) return body(x, from);
    const made = body(x.narrow(0, 0, own), from);
    const { dtype, device } = made;
    return cat([made, zeros([rows - own, made.size(1)], { dtype, device })]);
  }

  /** The sum over the ranks, on every rank. Differentiable; the gradient is summed, too. */
  sumOverRanks(part: Tensor): Tensor {
    const group = this.#group;
    return differentiable.copyToRegion(differentiable.reduceFromRegion(part, { group }), { group });
  }

  /** In place, without a gradient: the sum, or the greatest, over the ranks. */
  reduce(tensor: Tensor, op: "sum" | "max"): Tensor {
    return allReduce(tensor, { group: this.#group, op });
  }

  /** Each rank's columns [n, v] side by side: [n, ranks * v]. Without a gradient. */
  joinColumns(part: Tensor): Tensor {
    return functional.allGatherTensor(part, { group: this.#group, dim: 1 });
  }

  /** The first rank's numbers, on every rank: for choices that chance makes. */
  agree(numbers: readonly number[]): number[] {
    return agree(numbers, this.#group);
  }
}
