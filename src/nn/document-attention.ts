// Causal attention inside each document of a pack: a token sees the tokens of its own document up to itself. The cost is
// the sum of the documents' squares; no mask over the pack exists. Here a kernel is chosen by device and dtype.
import {
  arange,
  bfloat16,
  call,
  cat,
  type Device,
  float16,
  float32,
  float64,
  fromTypedArray,
  fused,
  logicalAnd,
  scaledDotProductAttention,
  split,
  type Tensor,
} from "../torch/index.ts";

export interface AttentionOptions {
  /** Tokens of each document, in order; their sum is T. */
  lengths: readonly number[];
  /** Tokens that each one sees, itself included. */
  window?: number | undefined;
  /** Where documents begin, and T: [documents + 1], int32, on the device, where somebody has made it for many calls. */
  boundaries?: Tensor | undefined;
}

let hasKernel: boolean | undefined;

/**
 * q: [T, H, d], k and v: [T, K, d] with H a multiple of K (grouped-query attention). Returns [T, H * d].
 * Source: Vaswani et al. 2017, scaled by 1 / sqrt(d).
 */
export function documentAttention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const { lengths, window } = options;
  const [tokens, heads, headDim] = q.shape as [number, number, number];
  if (q.device.type === "meta") return fused.metaAttention(q, k, v).view([tokens, heads * headDim]);
  const kernel = q.device.type === "cpu" && (q.dtype === float32 || q.dtype === float64);
  if (kernel && (hasKernel ??= fused.hasDocAttention())) {
    const out = fused.docAttention(q, k, v, lengths, 1 / Math.sqrt(headDim), window);
    return out.view([tokens, heads * headDim]);
  }
  if (q.device.type === "cuda" && suitsFlashAttention(q)) return flashAttention(q, k, v, options);
  return composedAttention(q, k, v, { lengths, window });
}

const suitsFlashAttention = ({ dtype, shape }: Tensor): boolean =>
  (dtype === bfloat16 || dtype === float16) && shape[2]! % 8 === 0 && shape[2]! <= 256;

/** All documents in one call of the kernel that libtorch brings for CUDA. Source: Dao 2023, https://arxiv.org/abs/2307.08691 */
function flashAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { lengths, window, boundaries = documentBoundaries(lengths, q.device) }: AttentionOptions,
): Tensor {
  const [tokens, heads, headDim] = q.shape as [number, number, number];
  const longest = Math.max(...lengths);
  const [out] = call<[Tensor]>(
    "aten::_flash_attention_forward",
    q,
    k,
    v,
    boundaries,
    boundaries,
    longest,
    longest,
    0, // dropout
    true, // causal
    false, // no mask for debugging
    1 / Math.sqrt(headDim),
    // To the left, the token itself not counted; to the right.
    window === undefined ? undefined : window - 1,
    window === undefined ? undefined : 0,
  );
  return out.reshape([tokens, heads * headDim]);
}

/** `AttentionOptions.boundaries` of documents of these lengths. */
export function documentBoundaries(lengths: readonly number[], device: Device | string): Tensor {
  const ends = new Int32Array(lengths.length + 1);
  for (const [i, length] of lengths.entries()) ends[i + 1] = ends[i]! + length;
  return fromTypedArray(ends, [ends.length], { device });
}

/** The same of libtorch's own operators, a call a document: for devices and dtypes without the kernel. */
export function composedAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { lengths, window }: AttentionOptions,
): Tensor {
  const [, heads, headDim] = q.shape as [number, number, number];
  // [1, heads, T, d], cut along T.
  const parts = [q, k, v].map((one) => split(one.transpose(0, 1).unsqueeze(0), lengths, 2));
  const grouped = k.size(1) !== heads;
  const outputs = lengths.map((length, i) => {
    const [qd, kd, vd] = parts.map((one) => one[i]!) as [Tensor, Tensor, Tensor];
    const mask = window !== undefined && length > window ? bandMask(length, window, q) : null;
    const out = scaledDotProductAttention(qd, kd, vd, {
      attnMask: mask,
      isCausal: mask === null,
      enableGqa: grouped,
    });
    return out.transpose(1, 2).reshape([length, heads * headDim]);
  });
  return outputs.length === 1 ? outputs[0]! : cat(outputs);
}

/** True where a token may look: [length, length]. */
function bandMask(length: number, window: number, like: Tensor): Tensor {
  const at = arange(length, { device: like.device });
  const distance = at.unsqueeze(1).sub(at.unsqueeze(0));
  return logicalAnd(distance.ge(0), distance.lt(window));
}
