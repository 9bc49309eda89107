// Attention of packed documents by the kernels that libtorch brings for CUDA: FlashAttention 2, and cuDNN's, which is the faster
// one on Hopper for many shapes. Which one a shape gets is measured once, forward and backward, and noted on disk, so that later
// runs, and resumed ones, compute the same numbers. document-attention.ts decides whether these apply at all.
import {
  call,
  cat,
  deterministicAlgorithms,
  type Device,
  enableGrad,
  fromTypedArray,
  full,
  grad,
  hasOp,
  info,
  int32,
  randnLike,
  scope,
  synchronize,
  type Tensor,
} from "../torch/index.ts";
import { messageOf, noteMeasured, readMeasured } from "../util/index.ts";

export type AttentionKernel = "flash" | "cudnn";

/** As in AttentionOptions. */
interface Documents {
  readonly lengths: readonly number[];
  readonly window?: number | undefined;
  readonly boundaries?: Tensor | undefined;
}

/** What `forge doctor` shows of a shape. */
export interface MeasuredAttention {
  readonly kernel: AttentionKernel;
  readonly flash_ms: number;
  readonly cudnn_ms?: number;
  /** Why cuDNN's isn't taken, where not for its time. */
  readonly error?: string;
}

/** `AttentionOptions.boundaries` of documents of these lengths. */
export function documentBoundaries(lengths: readonly number[], device: Device | string): Tensor {
  const ends = new Int32Array(lengths.length + 1);
  for (const [i, length] of lengths.entries()) ends[i + 1] = ends[i]! + length;
  return fromTypedArray(ends, [ends.length], { device });
}

/** q: [T, H, d], k and v: [T, K, d]; returns [T, H, d]. */
export function cudaAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  documents: Documents,
  kernel = kernelFor(q, k, v, documents),
): Tensor {
  return kernels[kernel](q, k, v, documents);
}

const kernels = { flash: flashAttention, cudnn: cudnnAttention };

/** Source: Dao 2023, https://arxiv.org/abs/2307.08691 */
function flashAttention(q: Tensor, k: Tensor, v: Tensor, documents: Documents): Tensor {
  const { lengths, window, boundaries = documentBoundaries(lengths, q.device) } = documents;
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
    1 / Math.sqrt(q.size(2)),
    // To the left, the token itself not counted; to the right.
    window === undefined ? undefined : window - 1,
    window === undefined ? undefined : 0,
  );
  return out;
}

/** Without a window. cuDNN makes a plan for each number of documents and longest length: both are rounded up, to have few. */
function cudnnAttention(q: Tensor, k: Tensor, v: Tensor, documents: Documents): Tensor {
  const { lengths, boundaries = documentBoundaries(lengths, q.device) } = documents;
  const { count, longest } = planOf(lengths);
  // Further documents have no tokens.
  const rest = full([count - lengths.length], q.size(0), { dtype: int32, device: q.device });
  const padded = count === lengths.length ? boundaries : cat([boundaries, rest]);
  // It takes tokens that follow each other without gaps.
  const [out] = call<[Tensor]>(
    "aten::_cudnn_attention_forward",
    q.contiguous(),
    k.contiguous(),
    v.contiguous(),
    undefined, // bias
    padded,
    padded,
    longest,
    longest,
    true, // with what backward needs
    0, // dropout
    true, // causal
    false, // no mask for debugging
    1 / Math.sqrt(q.size(2)),
  );
  return out;
}

function planOf(lengths: readonly number[]): { count: number; longest: number } {
  const up = (n: number): number => 2 ** Math.ceil(Math.log2(n));
  return { count: up(lengths.length), longest: Math.max(128, up(Math.max(...lengths))) };
}

/** Documents so short that neither matters. */
const shortest = 512;
/** The first architecture on which cuDNN's was seen to be faster. */
const hopper = 90;
const subject = "attention";

let known: Map<string, MeasuredAttention> | undefined;
let there: string | undefined;

function kernelFor(q: Tensor, k: Tensor, v: Tensor, documents: Documents): AttentionKernel {
  const { lengths, window } = documents;
  const plan = planOf(lengths);
  // cuDNN's backward adds in no certain order.
  if (window !== undefined || plan.longest < shortest || q.size(2) > 128 || deterministicAlgorithms())
    return "flash";
  there ??= deviceName(q.device);
  if (there === "") return "flash";
  known ??= new Map(Object.entries(readMeasured<MeasuredAttention>(subject)));
  const heads = `${q.size(1)} heads on ${k.size(1)} of ${q.size(2)}`;
  const key = `${there}: ${heads}, ${q.dtype.name}, ${plan.count} documents of up to ${plan.longest}`;
  let found = known.get(key);
  if (found === undefined) {
    known.set(key, (found = enableGrad(() => measure(q, k, v, documents))));
    noteMeasured(subject, key, found);
  }
  return found.kernel;
}

/** Architecture and libtorch; empty where there is nothing to choose. */
function deviceName(on: Device): string {
  if (!hasOp("aten::_cudnn_attention_forward")) return "";
  const architecture = call<number>("forge::cuda_architecture", on.index ?? 0);
  return architecture < hopper ? "" : `sm_${architecture}, torch ${info().torchVersion}`;
}

function measure(q: Tensor, k: Tensor, v: Tensor, documents: Documents): MeasuredAttention {
  using s = scope();
  void s;
  const inputs = [q, k, v].map((x) => x.detach().requiresGrad_()) as [Tensor, Tensor, Tensor];
  const weight = randnLike(q.detach());
  const run = (kernel: AttentionKernel): Tensor[] => {
    const out = kernels[kernel](...inputs, documents);
    return [out, ...grad(out, inputs, weight)];
  };
  const time = (kernel: AttentionKernel): number => {
    const times = [1, 2, 3].map(() => {
      using each = scope();
      void each;
      synchronize(q.device);
      const started = performance.now();
      run(kernel);
      synchronize(q.device);
      return performance.now() - started;
    });
    return Math.min(...times);
  };
  const expected = run("flash");
  const flash_ms = time("flash");
  try {
    for (const [i, found] of run("cudnn").entries()) {
      const most = expected[i]!.abs().max().item();
      const difference = found.sub(expected[i]!).abs().max().item();
      // Both round to the type more than once, at other places. NaN is no agreement either.
      if (!(difference <= 2 ** -4 * most))
        return { kernel: "flash", flash_ms, error: `off by ${difference} of ${most}` };
    }
    const cudnn_ms = time("cudnn");
    return { kernel: cudnn_ms < flash_ms ? "cudnn" : "flash", flash_ms, cudnn_ms };
  } catch (error) {
    return { kernel: "flash", flash_ms, error: messageOf(error) };
  }
}
