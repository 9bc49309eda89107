// What a layer's attention is made of: rotary embedding, and attention inside the documents of a pack.
import { hasOp } from "../operators/call.ts";
import type { Tensor } from "../tensor/tensor.ts";
import * as wire from "../addon/wire.ts";
import { two } from "./results.ts";

const ops = {
  rotaryEmbedding: new wire.Op("forge::rotary_embedding", ""),
  docAttention: new wire.Op("forge::doc_attention", ""),
  spanAttention: new wire.Op("forge::span_attention", ""),
  metaAttention: new wire.Op("forge::meta_attention", ""),
};

/**
 * Rotary position embedding in the half-rotation layout of Llama in Transformers (Su et al. 2021, arXiv 2104.09864):
 * with the first half of a head's rotated dimensions x1 and the second x2, `y1 = x1 cos - x2 sin`,
 * `y2 = x2 cos + x1 sin`. Dimensions behind the rotated ones are copied (partial rotary embedding).
 *
 * @param query [B, T, heads, headDim]; any strides
 * @param key [B, T, kvHeads, headDim]; any strides
 * @param cos [positions, rotaryDim / 2]: the cosines of each position's angles, best in float32; no gradient
 * @param sin like `cos`
 * @param positionIds [T] or [B, T], integers: the row of the tables for each token; default 0, 1, 2, …
 * @returns the rotated query and key, contiguous
 * @throws TorchError for shapes that don't fit and for a position outside the tables
 */
export function rotaryEmbedding(
  query: Tensor,
  key: Tensor,
  cos: Tensor,
  sin: Tensor,
  positionIds?: Tensor | null,
): [query: Tensor, key: Tensor] {
  let p = wire.begin(ops.rotaryEmbedding);
  p = wire.tensor(p, query, "query");
  p = wire.tensor(p, key, "key");
  p = wire.tensor(p, cos, "cos");
  p = wire.tensor(p, sin, "sin");
  wire.optTensor(p, positionIds, "positionIds");
  wire.finish();
  return two();
}

/**
 * Causal attention inside each document of a pack, on the CPU in float32 and float64 (Vaswani et al. 2017, arXiv 1706.03762;
 * Dao et al. 2022, arXiv 2205.14135).
 *
 * @param q [T, H, d]; any strides
 * @param k [T, K, d], H a multiple of K
 * @param v like `k`
 * @param lengths tokens of each document, in order; their sum is T
 * @param scale of the scores
 * @param window tokens that each one sees, itself included; 0: all before it
 * @returns [T, H, d]
 */
export function docAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  lengths: readonly number[],
  scale: number,
  window = 0,
): Tensor {
  return attention(ops.docAttention, [q, k, v], [lengths, "lengths"], scale, window);
}

/** Whether this libtorch has what `docAttention` needs. */
export function hasDocAttention(): boolean {
  return hasOp(ops.docAttention.name);
}

/**
 * The same for parts of documents: each span of queries sees a span of keys.
 *
 * @param spans five numbers for each pair: where its queries begin and how many, where its keys begin and how many, and the
 *   position of the first query counted from that of the first key
 * @returns [T, H, d]
 */
export function spanAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  spans: readonly number[],
  scale: number,
  window = 0,
): Tensor {
  return attention(ops.spanAttention, [q, k, v], [spans, "spans"], scale, window);
}

function attention(
  op: wire.Op,
  [q, k, v]: readonly [Tensor, Tensor, Tensor],
  [numbers, name]: readonly [readonly number[], string],
  scale: number,
  window: number,
): Tensor {
  let p = wire.begin(op);
  p = wire.tensor(p, q, "q");
  p = wire.tensor(p, k, "k");
  p = wire.tensor(p, v, "v");
  p = wire.ints(p, numbers, name, 0);
  p = wire.float(p, scale, "scale");
  wire.int(p, window, "window");
  wire.finish();
  return wire.tensorAt(0);
}

/** Stands for attention of any kind on tensors without memory: shapes, and what is kept for backward. [T, H, d]. */
export function metaAttention(q: Tensor, k: Tensor, v: Tensor): Tensor {
  let p = wire.begin(ops.metaAttention);
  p = wire.tensor(p, q, "q");
  p = wire.tensor(p, k, "k");
  wire.tensor(p, v, "v");
  wire.finish();
  return wire.tensorAt(0);
}
