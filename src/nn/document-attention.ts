// Causal attention inside each document of a pack: a token sees the tokens of its own document up to itself. The cost is
// the sum of the documents' squares; no mask over the pack exists. Here a kernel is chosen by device and dtype.
import {
  arange,
  bfloat16,
  bmm,
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
  softmax,
  split,
  tanh,
  type Tensor,
} from "../torch/index.ts";

/** What of attention differs between layers and families. */
export interface AttentionVariant {
  /** Tokens that each one sees, itself included. */
  readonly window?: number | undefined;
  /** Of the scores. Default: 1 / sqrt(d). */
  readonly scale?: number | undefined;
  /** Bounds scores s to softCap * tanh(s / softCap) (Gemma 2). */
  readonly softCap?: number | undefined;
  /** For each head a score that takes its share of softmax and gives nothing (gpt-oss): [H]. */
  readonly sinks?: Tensor | undefined;
}

export interface AttentionOptions extends AttentionVariant {
  /** Tokens of each document, in order; their sum is T. */
  lengths: readonly number[];
  /** Where documents begin, and T: [documents + 1], int32, on the device, where somebody has made it for many calls. */
  boundaries?: Tensor | undefined;
}

let hasKernel: boolean | undefined;

/** What scores are multiplied by. */
export const scaleOf = (q: Tensor, { scale }: AttentionVariant): number => scale ?? 1 / Math.sqrt(q.size(-1));

/** Whether it is softmax of scaled scores and nothing else: what libtorch's kernels compute. */
export const isPlain = ({ softCap, sinks }: AttentionVariant): boolean =>
  softCap === undefined && sinks === undefined;

/**
 * q: [T, H, d], k and v: [T, K, d] with H a multiple of K (grouped-query attention). Returns [T, H * d].
 * Source: Vaswani et al. 2017.
 */
export function documentAttention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const { lengths, window } = options;
  const [tokens, heads, headDim] = q.shape as [number, number, number];
  if (!isPlain(options)) return variedAttention(q, k, v, options);
  if (q.device.type === "meta") return fused.metaAttention(q, k, v).view([tokens, heads * headDim]);
  const kernel = q.device.type === "cpu" && (q.dtype === float32 || q.dtype === float64);
  if (kernel && (hasKernel ??= fused.hasDocAttention())) {
    const out = fused.docAttention(q, k, v, lengths, scaleOf(q, options), window);
    return out.view([tokens, heads * headDim]);
  }
  if (q.device.type === "cuda" && suitsFlashAttention(q)) return flashAttention(q, k, v, options);
  return composedAttention(q, k, v, options);
}

const suitsFlashAttention = ({ dtype, shape }: Tensor): boolean =>
  (dtype === bfloat16 || dtype === float16) && shape[2]! % 8 === 0 && shape[2]! <= 256;

/** All documents in one call of the kernel that libtorch brings for CUDA. Source: Dao 2023, https://arxiv.org/abs/2307.08691 */
function flashAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { lengths, window, scale, boundaries = documentBoundaries(lengths, q.device) }: AttentionOptions,
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
    scaleOf(q, { scale }),
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
  { lengths, window, scale }: AttentionOptions,
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
      scale: scale ?? null,
    });
    return out.transpose(1, 2).reshape([length, heads * headDim]);
  });
  return outputs.length === 1 ? outputs[0]! : cat(outputs);
}

/** With scores of its own, a document at a time. Its scores are kept for backward: [H, length, length]. */
function variedAttention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions): Tensor {
  const { lengths, window } = options;
  const [, heads, headDim] = q.shape as [number, number, number];
  const parts = [q, k, v].map((one) => split(one.transpose(0, 1), lengths, 1));
  const outputs = lengths.map((length, i) => {
    const [qd, kd, vd] = parts.map((one) => one[i]!) as [Tensor, Tensor, Tensor];
    const mask = bandMask(length, Math.min(window ?? length, length), q);
    return attendTo(qd, kd, vd, mask, options)
      .transpose(0, 1)
      .reshape([length, heads * headDim]);
  });
  return outputs.length === 1 ? outputs[0]! : cat(outputs);
}

/**
 * Attention of any variant, of libtorch's own operators: q: [H, n, d], k and v: [K, m, d].
 * @param mask true where a query may look: [.., n, m]
 * @returns [H, n, d]
 */
export function attendTo(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, variant: AttentionVariant): Tensor {
  const { softCap, sinks } = variant;
  const [heads, n, d] = q.shape as [number, number, number];
  const [groups, m] = k.shape as [number, number, number];
  const rows = (heads / groups) * n;
  const scaled = q.mul(scaleOf(q, variant)).reshape([groups, rows, d]);
  const wide = q.dtype === float64 ? float64 : float32;
  let scores = bmm(scaled, k.transpose(1, 2)).to(wide).view([heads, n, m]);
  if (softCap !== undefined) scores = tanh(scores.div(softCap)).mul(softCap);
  scores = scores.maskedFill(mask.logicalNot(), Number.NEGATIVE_INFINITY);
  if (sinks !== undefined)
    scores = cat([scores, sinks.to(wide).view([heads, 1, 1]).expand([heads, n, 1])], -1);
  const shares = softmax(scores, -1).narrow(2, 0, m).to(v.dtype);
  return bmm(shares.reshape([groups, rows, m]), v).view([heads, n, d]);
}

/** True where a token may look: [length, length]. */
function bandMask(length: number, window: number, like: Tensor): Tensor {
  const at = arange(length, { device: like.device });
  const distance = at.unsqueeze(1).sub(at.unsqueeze(0));
  return logicalAnd(distance.ge(0), distance.lt(window));
}
