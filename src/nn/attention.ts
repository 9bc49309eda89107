// The attention of a decoder layer: grouped-query attention with rotary positions, behind a norm. Its three steps stand by
// themselves, because generation attends to a cache between them. With a region this process has some of the heads.
import { fused, type Dtype, type Tensor } from "../torch/index.ts";
import { documentAttention } from "./document-attention.ts";
import { normLinear, type Linear, type ProductOptions } from "./linear.ts";
import type { TensorRegion } from "./regions.ts";
import type { RMSNorm } from "./rms-norm.ts";
import type { RopeTables } from "./rope.ts";
import type { Sequence } from "./sequence.ts";

export interface AttentionParts {
  readonly norm: RMSNorm;
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  /** Of each head's queries and keys. */
  readonly qNorm?: RMSNorm | undefined;
  readonly kNorm?: RMSNorm | undefined;
  readonly output: Linear;
}

export interface AttentionShape {
  /** Those of this process. */
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Tokens that each one sees, itself included. */
  readonly window: number | undefined;
}

/** Rotated queries [T, H, d]; rotated keys, and values, [T, K, d]. */
export interface Projections {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

export class Attention {
  readonly shape: AttentionShape;
  readonly #parts: AttentionParts;
  readonly #region: TensorRegion | undefined;

  constructor(parts: AttentionParts, shape: AttentionShape, region?: TensorRegion) {
    this.#parts = parts;
    this.shape = shape;
    this.#region = region;
  }

  get parameters(): Tensor[] {
    const { norm, q, k, v, qNorm, kNorm, output } = this.#parts;
    return [norm, q, k, v, qNorm, kNorm, output].flatMap((part) => part?.parameters ?? []);
  }

  cast(dtype: Dtype): Attention {
    const { norm, q, k, v, qNorm, kNorm, output } = this.#parts;
    const parts = {
      norm: norm.cast(dtype),
      q: q.cast(dtype),
      k: k.cast(dtype),
      v: v.cast(dtype),
      qNorm: qNorm?.cast(dtype),
      kNorm: kNorm?.cast(dtype),
      output: output.cast(dtype),
    };
    return new Attention(parts, this.shape, this.#region);
  }

  /** x: [T, D]. */
  project(
    x: Tensor,
    positions: Tensor,
    rope: RopeTables,
    { recompute, masks }: Omit<ProductOptions, "region">,
  ): Projections {
    const { numHeads, numKvHeads, headDim } = this.shape;
    const parts = this.#parts;
    const tokens = positions.size(0);
    const options = { region: this.#region, recompute, masks };
    const projected = normLinear(x, parts.norm, [parts.q, parts.k, parts.v], tokens, options);
    const [q, k, v] = projected as [Tensor, Tensor, Tensor];
    const heads = q.view([1, tokens, numHeads, headDim]);
    const keys = k.view([1, tokens, numKvHeads, headDim]);
    const [rotatedQ, rotatedK] = fused.rotaryEmbedding(
      parts.qNorm?.forward(heads) ?? heads,
      parts.kNorm?.forward(keys) ?? keys,
      rope.cos,
      rope.sin,
      positions,
    );
    return {
      q: rotatedQ.squeeze(0),
      k: rotatedK.squeeze(0),
      v: v.view([tokens, numKvHeads, headDim]),
    };
  }

  /** [T, H * d]. */
  attend({ q, k, v }: Projections, { lengths, boundaries, shard }: Sequence): Tensor {
    const { window } = this.shape;
    return shard?.attention(q, k, v, window) ?? documentAttention(q, k, v, { lengths, window, boundaries });
  }

  /** x + the output projection of what attention gave: [T, D] and [T, H * d] to [T, D]. */
  addTo(x: Tensor, attended: Tensor, { masks }: Pick<ProductOptions, "masks">): Tensor {
    return this.#parts.output.addTo(x, attended, { region: this.#region, masks });
  }
}
