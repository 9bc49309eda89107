// Multi-head latent attention (DeepSeek-AI 2024, https://arxiv.org/abs/2405.04434): keys and values of all heads are products of one
// small latent vector, and so may queries be. A part of each head's queries and keys is rotated, the keys' the same for all
// heads. What comes out of `project` is attention's usual input: values are padded to the width of keys, and cut again after.
import { cat, fused, zeros, type Dtype, type Tensor } from "../torch/index.ts";
import { pairsToHalves, type Projections } from "./attention.ts";
import { documentAttention, type AttentionVariant } from "./document-attention.ts";
import { normLinear, type Linear, type ProductOptions } from "./linear.ts";
import { recordProduct } from "./products.ts";
import type { TensorRegion } from "./regions.ts";
import type { Residual } from "./residual.ts";
import type { RMSNorm } from "./rms-norm.ts";
import { ropeRows, type RopeTables } from "./rope.ts";
import type { Sequence } from "./sequence.ts";

export interface LatentAttentionParts {
  readonly norm?: RMSNorm | undefined;
  /** Hidden states to queries, or to their latent vector where there is `queryUp`. */
  readonly query: Linear;
  readonly queryNorm?: RMSNorm | undefined;
  readonly queryUp?: Linear | undefined;
  /** Hidden states to the latent vector of keys and values, and the rotated part of keys. */
  readonly keyValue: Linear;
  readonly keyValueNorm: RMSNorm;
  /** The latent vector to the rest of each head's keys, and its values. */
  readonly keyValueUp: Linear;
  readonly output: Linear;
  readonly residual: Residual;
}

export interface LatentAttentionShape {
  /** Those of this process. */
  readonly numHeads: number;
  /** Of queries and keys. */
  readonly headDim: number;
  /** The last of these, which are rotated. */
  readonly ropeDim: number;
  readonly valueDim: number;
  readonly scale: number | undefined;
  readonly ropeOfPairs: boolean;
}

export class LatentAttention {
  readonly #parts: LatentAttentionParts;
  readonly #shape: LatentAttentionShape;
  readonly #region: TensorRegion | undefined;

  constructor(parts: LatentAttentionParts, shape: LatentAttentionShape, region?: TensorRegion) {
    this.#parts = parts;
    this.#shape = shape;
    this.#region = region;
  }

  get parameters(): Tensor[] {
    const { norm, query, queryNorm, queryUp, keyValue, keyValueNorm, keyValueUp, output, residual } =
      this.#parts;
    const all = [norm, query, queryNorm, queryUp, keyValue, keyValueNorm, keyValueUp, output, residual];
    return all.flatMap((part) => part?.parameters ?? []);
  }

  cast(dtype: Dtype): LatentAttention {
    const { norm, query, queryNorm, queryUp, keyValue, keyValueNorm, keyValueUp, output, residual } =
      this.#parts;
    const parts = {
      norm: norm?.cast(dtype),
      query: query.cast(dtype),
      queryNorm: queryNorm?.cast(dtype),
      queryUp: queryUp?.cast(dtype),
      keyValue: keyValue.cast(dtype),
      keyValueNorm: keyValueNorm.cast(dtype),
      keyValueUp: keyValueUp.cast(dtype),
      output: output.cast(dtype),
      residual: residual.cast(dtype),
    };
    return new LatentAttention(parts, this.#shape, this.#region);
  }

  get variant(): AttentionVariant {
    return { scale: this.#shape.scale };
  }

  /** x: [T, D]. Queries, keys and values: [T, H, headDim]. */
  project(
    x: Tensor,
    sequence: Sequence,
    ropes: readonly RopeTables[],
    { recompute, masks }: Omit<ProductOptions, "region">,
  ): Projections {
    const { numHeads, headDim, ropeDim, valueDim, ropeOfPairs } = this.#shape;
    const { norm, query, queryNorm, queryUp, keyValue, keyValueNorm, keyValueUp } = this.#parts;
    const tokens = sequence.positions.size(0);
    const options = { region: this.#region, recompute, masks };
    const raise = (layer: Linear, small: Tensor): Tensor => {
      const made = layer.product(small, masks);
      recordProduct([made], layer.own);
      return made;
    };
    const products = normLinear(x, norm, [query, keyValue], tokens, options);
    const [first, latent] = products as [Tensor, Tensor];
    const q = (queryUp === undefined ? first : raise(queryUp, queryNorm?.forward(first) ?? first)).view([
      1,
      tokens,
      numHeads,
      headDim,
    ]);
    const plainDim = headDim - ropeDim;
    const rank = latent.size(1) - ropeDim;
    const raised = raise(keyValueUp, keyValueNorm.forward(latent.narrow(1, 0, rank)));
    const both = raised.view([tokens, numHeads, plainDim + valueDim]);
    const tables = ropes[0]!;
    const turn = (part: Tensor): Tensor => (ropeOfPairs ? pairsToHalves(part, ropeDim) : part);
    const [rotatedQ, rotatedK] = fused.rotaryEmbedding(
      turn(q.narrow(3, plainDim, ropeDim)),
      turn(latent.narrow(1, rank, ropeDim).reshape([1, tokens, 1, ropeDim])),
      tables.cos,
      tables.sin,
      ropeRows(tables, sequence),
    );
    const { dtype, device } = both;
    const none = zeros([tokens, numHeads, headDim - valueDim], { dtype, device });
    return {
      q: cat([q.narrow(3, 0, plainDim), rotatedQ], 3).squeeze(0),
      k: cat([both.narrow(2, 0, plainDim), rotatedK.squeeze(0).expand([tokens, numHeads, ropeDim])], 2),
      v: cat([both.narrow(2, plainDim, valueDim), none], 2),
    };
  }

  /** [T, H * headDim]: of each head values, then zeros. */
  attend({ q, k, v }: Projections, { lengths, boundaries, shard }: Sequence): Tensor {
    const { variant } = this;
    return (
      shard?.attention(q, k, v, variant) ?? documentAttention(q, k, v, { ...variant, lengths, boundaries })
    );
  }

  /** x + the output projection of what attention gave: [T, D] and [T, H * headDim] to [T, D]. */
  addTo(x: Tensor, attended: Tensor, { masks }: Pick<ProductOptions, "masks">): Tensor {
    const { output, residual } = this.#parts;
    const { numHeads, headDim, valueDim } = this.#shape;
    const values = attended
      .view([-1, numHeads, headDim])
      .narrow(2, 0, valueDim)
      .reshape([-1, numHeads * valueDim]);
    return residual.add(x, (base) => output.addTo(base, values, { region: this.#region, masks }));
  }
}
