// Context parallelism: all ranks of a cp group read the same rows, and each computes its chunks of them (sequence-chunks.ts). Only
// attention looks beyond a rank's own tokens; it is here. Parameters are the data strategy's, for which a cp rank is one
// more rank with other tokens: FSDP divides them over dp_shard x cp.
//
// allgather: keys and values of all ranks are put together, and kept for backward; their gradients are reduce-scattered.
// alltoall: they pass from rank to rank in a ring, while each rank attends to what it has (native/comm/ring_attention.cc).
// Source: PyTorch's and torchtitan's context parallelism; Llama 3 (https://arxiv.org/abs/2407.21783, 3.3.2) for the first
// method, Liu, Zaharia and Abbeel 2023 (https://arxiv.org/abs/2310.01889) for the second.
import { allReduce, differentiable, type ProcessGroup, worldGroup } from "../../comm/index.ts";
import { type AttentionVariant, isPlain, scaleOf, type SequenceShard } from "../../nn/index.ts";
import { call, cat, fused, split, type Tensor } from "../../torch/index.ts";
import { UserError } from "../../util/index.ts";
import { SequenceChunks, paddedLength } from "./sequence-chunks.ts";
import { ParallelDims, type Degrees } from "../parallel-dims.ts";

export type RotateMethod = "allgather" | "alltoall";

/** The ranks among which rows are divided, and how they exchange keys and values. */
export class ContextRegion {
  readonly #group: ProcessGroup;
  readonly #method: RotateMethod;

  constructor(group: ProcessGroup, method: RotateMethod) {
    this.#group = group;
    this.#method = method;
  }

  get rank(): number {
    return this.#group.rank;
  }
  get size(): number {
    return this.#group.size;
  }

  /** Shards rows of documents of these lengths. A row that ranks can't share evenly gets padding, as a document of its own. */
  shard(rows: readonly (readonly number[])[]): ContextShard {
    const even = rows.map((lengths) => {
      const length = lengths.reduce((sum, one) => sum + one, 0);
      const rest = paddedLength(length, this.size) - length;
      return rest === 0 ? lengths : [...lengths, rest];
    });
    return new ContextShard(even, new SequenceChunks(even, this.size), this.#group, this.#method);
  }
}

/** This rank's chunks of the rows of one micro-batch. */
export class ContextShard implements SequenceShard {
  /** Of all documents of all ranks, padding included. */
  readonly lengths: readonly number[];
  readonly #chunks: SequenceChunks;
  readonly #group: ProcessGroup;
  readonly #method: RotateMethod;
  /** What attention needs to know of the sequence shards; the same for all layers. */
  #spans: { all: number[] } | { ring: number[]; counts: number[] } | undefined;

  constructor(
    rows: readonly (readonly number[])[],
    chunks: SequenceChunks,
    group: ProcessGroup,
    method: RotateMethod,
  ) {
    this.lengths = rows.flat();
    this.#chunks = chunks;
    this.#group = group;
    this.#method = method;
  }

  /** What this rank has of the rows, in order. */
  get chunks(): ReturnType<SequenceChunks["chunks"]> {
    return this.#chunks.chunks(this.#group.rank);
  }

  /**
   * Attention of this rank's queries q: [T, H, d] to the keys and values of all ranks, of which this one's are k and v:
   * [T, K, d], causal and within documents. [T, H * d]. Differentiable; every rank calls it.
   */
  attention(q: Tensor, k: Tensor, v: Tensor, variant: AttentionVariant): Tensor {
    if (!isPlain(variant))
      throw new UserError(
        "parallelism.context_parallel_degree: attention with soft-capped scores or sinks can't be divided along the sequence here. Set it to 1, and divide by data, tensor or pipeline parallelism",
        { exitCode: 2 },
      );
    const { window } = variant;
    const [tokens, heads, headDim] = q.shape as [number, number, number];
    const scale = scaleOf(q, variant);
    const spans = (this.#spans ??= this.#makeSpans());
    const group = this.#group;
    let out: Tensor;
    if ("ring" in spans) {
      const { ring, counts } = spans;
      out = call("forge_comm::ring_attention", q, k, v, ring, counts, scale, window ?? 0, group.name);
    } else {
      const joined = this.gather(cat([k, v], 1));
      const [keys, values] = split(joined, [k.size(1), v.size(1)], 1) as [Tensor, Tensor];
      out = fused.spanAttention(q, keys, values, spans.all, scale, window);
    }
    return out.view([tokens, heads * headDim]);
  }

  /** In place, without a gradient: the sum over the ranks. */
  sum(tensor: Tensor): Tensor {
    return allReduce(tensor, { group: this.#group });
  }

  /** What all ranks have of their tokens, [T, …] each, as the rows again: [ranks * T, …]. Differentiable. */
  gather(part: Tensor): Tensor {
    const { sizes, order } = this.#chunks.joining;
    const parts = split(differentiable.allGather(part, { group: this.#group }), sizes, 0);
    return cat(order.map((i) => parts[i]!));
  }

  #makeSpans(): { all: number[] } | { ring: number[]; counts: number[] } {
    const { rank, size } = this.#group;
    if (this.#method === "allgather") return { all: this.#chunks.spansOfAll(rank) };
    // At step s the keys of the s-th rank before this one are here.
    const steps = Array.from({ length: size }, (_, s) =>
      this.#chunks.spansOfRank(rank, (rank - s + size) % size),
    );
    return { ring: steps.flat(), counts: steps.map((spans) => spans.length / 5) };
  }
}

const made = new WeakMap<ProcessGroup, Map<string, Promise<ProcessGroup>>>();

/**
 * This process's cp group where the world is divided so, for use outside a trainer. Every rank calls it, in the same order.
 * @param degrees those left out are 1
 * @throws UserError where their product is not the number of ranks
 */
export async function contextGroup(degrees: Partial<Degrees>): Promise<ProcessGroup> {
  const world = worldGroup();
  const one = { pipeline: 1, replicate: 1, shard: 1, context: 1, tensor: 1, expert: 1, expertTensor: 1 };
  const dims = new ParallelDims({ ...one, ...degrees }, world.size);
  const groups = made.get(world) ?? new Map<string, Promise<ProcessGroup>>();
  made.set(world, groups);
  const key = dims.layout?.shape.join() + String(dims.layout?.axes);
  const found =
    groups.get(key) ?? dims.groups(world.backend === "nccl" ? "cuda" : "cpu").then((all) => all.context!);
  groups.set(key, found);
  return await found;
}
