// The attention of a decoder layer: grouped-query attention, with rotary positions or without, behind a norm or before one. Its
// three steps stand by themselves, because generation attends to a cache between them. With a region this process has some
// of the heads.
import { cat, fused, type Dtype, type Tensor } from "../torch/index.ts";
import { castWeight } from "./cast.ts";
import { documentAttention, type AttentionVariant } from "./document-attention.ts";
import { normLinear, type Linear, type ProductOptions } from "./linear.ts";
import type { TensorRegion } from "./regions.ts";
import type { Residual } from "./residual.ts";
import type { RMSNorm } from "./rms-norm.ts";
import { ropeRows, type RopeTables } from "./rope.ts";
import type { Sequence } from "./sequence.ts";

export interface AttentionParts {
  readonly norm?: RMSNorm | undefined;
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  /** Of each head's queries and keys, or of all heads' together (`normsWhole`). */
  readonly qNorm?: RMSNorm | undefined;
  readonly kNorm?: RMSNorm | undefined;
  /** [H], see AttentionVariant. */
  readonly sinks?: Tensor | undefined;
  readonly output: Linear;
  readonly residual: Residual;
}

export interface AttentionShape extends Omit<AttentionVariant, "sinks"> {
  /** Those of this process. */
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Which of the model's tables positions are rotated by; undefined: they aren't. */
  readonly rope: number | undefined;
  /** Rotated dimensions are pairs of neighbours, not of halves. */
  readonly ropeOfPairs?: boolean;
  readonly normsWhole?: boolean;
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
    const { norm, q, k, v, qNorm, kNorm, sinks, output, residual } = this.#parts;
    const parts = [norm, q, k, v, qNorm, kNorm, output, residual].flatMap((part) => part?.parameters ?? []);
    return sinks === undefined ? parts : [...parts, sinks];
  }

  cast(dtype: Dtype): Attention {
    const { norm, q, k, v, qNorm, kNorm, sinks, output, residual } = this.#parts;
    const parts = {
      norm: norm?.cast(dtype),
      q: q.cast(dtype),
      k: k.cast(dtype),
      v: v.cast(dtype),
      qNorm: qNorm?.cast(dtype),
      kNorm: kNorm?.cast(dtype),
      sinks: sinks && castWeight(sinks, dtype),
      output: output.cast(dtype),
      residual: residual.cast(dtype),
    };
    return new Attention(parts, this.shape, this.#region);
  }

  /** x: [T, D]. */
  project(
    x: Tensor,
    sequence: Sequence,
    ropes: readonly RopeTables[],
    { recompute, masks }: Omit<ProductOptions, "region">,
  ): Projections {
    const { numHeads, numKvHeads, headDim, rope, ropeOfPairs = false } = this.shape;
    const parts = this.#parts;
    const tokens = sequence.positions.size(0);
    const options = { region: this.#region, recompute, masks };
    const projected = normLinear(x, parts.norm, [parts.q, parts.k, parts.v], tokens, options);
    const [q, k, v] = projected as [Tensor, Tensor, Tensor];
    const heads = this.#normed(q, parts.qNorm, [1, tokens, numHeads, headDim]);
    const keys = this.#normed(k, parts.kNorm, [1, tokens, numKvHeads, headDim]);
    const values = v.view([tokens, numKvHeads, headDim]);
    if (rope === undefined) return { q: heads.squeeze(0), k: keys.squeeze(0), v: values };
    const tables = ropes[rope]!;
    const { cos, sin, queryScale } = tables;
    const dim = 2 * cos.size(1);
    const [rotatedQ, rotatedK] = fused.rotaryEmbedding(
      ropeOfPairs ? pairsToHalves(heads, dim) : heads,
      ropeOfPairs ? pairsToHalves(keys, dim) : keys,
      cos,
      sin,
      ropeRows(tables, sequence),
    );
    const queries = rotatedQ.squeeze(0);
    const scale = queryScale?.indexSelect(0, sequence.positions).to(queries.dtype).view([tokens, 1, 1]);
    return { q: scale === undefined ? queries : queries.mul(scale), k: rotatedK.squeeze(0), v: values };
  }

  #normed(x: Tensor, norm: RMSNorm | undefined, shape: readonly number[]): Tensor {
    if (norm === undefined) return x.view(shape);
    if (this.shape.normsWhole !== true) return norm.forward(x.view(shape));
    const region = this.#region;
    return (region === undefined ? norm.forward(x) : norm.forwardDivided(x, region)).view(shape);
  }

  /** [T, H * d]. */
  attend({ q, k, v }: Projections, { lengths, boundaries, shard }: Sequence): Tensor {
    const variant = this.variant;
    return (
      shard?.attention(q, k, v, variant) ?? documentAttention(q, k, v, { ...variant, lengths, boundaries })
    );
  }

  get variant(): AttentionVariant {
    const { window, scale, softCap } = this.shape;
    return { window, scale, softCap, sinks: this.#parts.sinks };
  }

  /** x + the output projection of what attention gave: [T, D] and [T, H * d] to [T, D]. */
  addTo(x: Tensor, attended: Tensor, { masks }: Pick<ProductOptions, "masks">): Tensor {
    const { output, residual } = this.#parts;
    return residual.add(x, (base) => output.addTo(base, attended, { region: this.#region, masks }));
  }
}

/**
 * Brings neighbours 2i and 2i + 1 of the first `dim` dimensions to i and dim / 2 + i, which rotates them as one pair. Queries and
 * keys are changed alike, so that their products stay the same.
 */
export function pairsToHalves(x: Tensor, dim: number): Tensor {
  const [batch, tokens, heads, headDim] = x.shape as [number, number, number, number];
  const rotated = x
    .narrow(3, 0, dim)
    .reshape([batch, tokens, heads, dim / 2, 2])
    .transpose(3, 4)
    .reshape([batch, tokens, heads, dim]);
  return dim === headDim ? rotated : cat([rotated, x.narrow(3, dim, headDim - dim)], 3);
}
