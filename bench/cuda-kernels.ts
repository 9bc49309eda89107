// Our own CUDA kernels beside compositions of libtorch's operators, at the shapes of Llama-3-8B (2 x 4,096 tokens), and
// attention. One JSON line a figure as it is measured, so that a run which is cut off still tells. A figure's
// bytes are those that must move; `of_copy` is their rate over that of a plain copy. No bars: there is no GPU in continuous
// integration.
import {
  call,
  bfloat16,
  emptyLike,
  float32,
  full,
  fused,
  grad,
  info,
  randint,
  randn,
  scope,
  synchronize,
  useCudaKernels,
} from "../src/torch/index.ts";
import { arange, zeros, type Dtype, type Tensor } from "../src/torch/index.ts";
import { documentAttention, documentBoundaries } from "../src/nn/index.ts";
import { machine, median, quick } from "./harness.ts";

const device = "cuda";
const tokens = 8192,
  width = 4096,
  hidden = 14336,
  vocabulary = 128256;
const bytesOf = (dtype: Dtype): number => (dtype === float32 ? 4 : 2);

console.log(
  JSON.stringify({ bench: "cuda-kernels", machine: machine({ accelerator: info().accelerator ?? "none" }) }),
);

/** Median of rounds, each of as many calls as take some 20 ms; what the calls return is let go. */
function milliseconds(body: () => unknown): number {
  const once = (times: number): number => {
    synchronize(device);
    const started = performance.now();
    for (let i = 0; i < times; i++) {
      using _ = scope();
      body();
    }
    synchronize(device);
    return (performance.now() - started) / times;
  };
  once(3);
  const times = Math.max(2, Math.min(200, Math.round(20 / once(2))));
  return median(Array.from({ length: quick ? 3 : 7 }, () => once(times)));
}

function made(shape: readonly number[], dtype: Dtype): Tensor {
  return randn([...shape], { device, dtype });
}

const copied = (() => {
  using _ = scope();
  const [from, to] = [made([2 ** 28], float32), made([2 ** 28], float32)];
  return (2 * from.nbytes) / milliseconds(() => to.copy_(from)) / 1e6;
})();
console.log(JSON.stringify({ name: "copy", gb_per_s: Math.round(copied) }));

function figure(name: string, bytes: number, body: () => unknown): void {
  const line: Record<string, unknown> = { name };
  for (const [key, own] of [
    ["kernel_ms", true],
    ["composition_ms", false],
  ] as const) {
    useCudaKernels(own);
    try {
      line[key] = Number(milliseconds(body).toPrecision(4));
    } catch (error) {
      line[key.replace("ms", "error")] = String(error).slice(0, 300);
    }
  }
  useCudaKernels(true);
  const rate = bytes / Number(line["kernel_ms"]) / 1e6;
  console.log(
    JSON.stringify({ ...line, gb_per_s: Math.round(rate), of_copy: Number((rate / copied).toPrecision(3)) }),
  );
}

/** Each in its scope, and none keeps the others from being measured. */
function group(body: () => void): void {
  try {
    using _ = scope();
    body();
  } catch (error) {
    console.log(JSON.stringify({ error: String(error).slice(0, 500) }));
  }
}

group(() => {
  const x = made([tokens, width], bfloat16);
  const [r, g, e] = [emptyLike(x).copy_(x), made([tokens, width], bfloat16), made([tokens, width], bfloat16)];
  const w = made([width], bfloat16);
  const [, rstd] = call<[Tensor, Tensor]>("forge::rms_norm_forward", x, w, 1e-5);
  figure("rms_norm forward", 2 * x.nbytes, () => call("forge::rms_norm_forward", x, w, 1e-5));
  figure("rms_norm backward", 3 * x.nbytes, () =>
    call("forge::rms_norm_backward", g, x, rstd, w, true, true),
  );
  figure("add_rms_norm forward", 4 * x.nbytes, () => call("forge::add_rms_norm_forward", x, r, w, 1e-5));
  figure("add_rms_norm backward", 4 * x.nbytes, () =>
    call("forge::add_rms_norm_backward", g, e, x, rstd, w, true, true),
  );
});

group(() => {
  const joined = made([tokens, 2 * hidden], bfloat16);
  const g = made([tokens, hidden], bfloat16);
  figure("swiglu_joined forward", joined.nbytes * 1.5, () => call("forge::swiglu_joined_forward", joined));
  figure("swiglu_joined backward", joined.nbytes * 2.5, () =>
    call("forge::swiglu_joined_backward", g, joined),
  );
});

group(() => {
  const [q, k] = [made([2, 4096, 32, 128], bfloat16), made([2, 4096, 8, 128], bfloat16)];
  const angles = arange(4096, { device, dtype: float32 })
    .unsqueeze(1)
    .mul(randn([1, 64], { device }));
  const [cos, sin] = [angles.cos(), angles.sin()];
  const ids = arange(4096, { device });
  figure("rotary", 2 * (q.nbytes + k.nbytes), () =>
    call("forge::rotary_apply", [q, k], cos, sin, ids, false),
  );
});

for (const dtype of [bfloat16, float32]) {
  group(() => {
    // As many rows as the head holds at once, and four times as many.
    for (const rows of [523, 2092]) {
      const logits = made([rows, vocabulary], dtype);
      const labels = randint(vocabulary, [rows], { device });
      figure(`cross_entropy of ${rows} x ${vocabulary} in ${dtype.name}`, 2 * logits.nbytes, () =>
        call("forge::cross_entropy_", logits, labels, undefined, 1e-4, true),
      );
    }
  });
}

group(() => {
  const h = made([tokens, width], bfloat16).requiresGrad_();
  const w = made([vocabulary, width], bfloat16).mul(0.01).detach().requiresGrad_();
  const labels = randint(vocabulary, [tokens], { device });
  figure("linear_cross_entropy with gradients", 0, () =>
    fused.linearCrossEntropy(h, w, labels, { scale: 1e-4 }),
  );
});

const layer = [
  [4096, 4096],
  [1024, 4096],
  [1024, 4096],
  [4096, 4096],
  [14336, 4096],
  [14336, 4096],
  [4096, 14336],
  [4096],
  [4096],
];
for (const [p, g, m] of [
  [bfloat16, bfloat16, float32],
  [bfloat16, bfloat16, bfloat16],
  [float32, float32, float32],
  [float32, bfloat16, float32],
] as const) {
  group(() => {
    const shapes = Array.from({ length: 4 }, () => layer).flat();
    const all = (dtype: Dtype): Tensor[] => shapes.map((shape) => made(shape, dtype));
    const zeroed = (dtype: Dtype): Tensor[] => shapes.map((shape) => zeros(shape, { device, dtype }));
    const [params, grads, ms, vs] = [all(p), all(g), zeroed(m), zeroed(m)];
    const gradScale = full([], 0.5, { device, dtype: float32 });
    const count = params.reduce((sum, one) => sum + one.numel(), 0);
    figure(
      `adamw of ${(count / 1e6).toFixed(0)} M, ${p.name} ${g.name} ${m.name}`,
      count * (2 * bytesOf(p) + bytesOf(g) + 4 * bytesOf(m)),
      () => fused.adamw(params, grads, ms, vs, 2, { lr: 1e-5, gradScale }),
    );
    if (m === float32)
      figure(`sum_of_squares in ${g.name}`, count * bytesOf(g), () => fused.sumOfSquares(grads));
  });
}

for (const [name, heads, kvHeads, headDim, lengths] of [
  ["8B, 2 x 4,096", 32, 8, 128, [4096, 4096]],
  ["8B, 40 documents", 32, 8, 128, Array.from({ length: 40 }, (_, i) => (i % 2 ? 105 : 300))],
  ["1B, 8 x 2,048", 32, 8, 64, Array.from({ length: 8 }, () => 2048)],
  ["135M, 16 x 2,048", 9, 3, 64, Array.from({ length: 16 }, () => 2048)],
] as const) {
  group(() => {
    const total = lengths.reduce((sum, one) => sum + one, 0);
    const [q, k, v] = [heads, kvHeads, kvHeads].map((n) =>
      made([total, n, headDim], bfloat16).requiresGrad_(),
    );
    const g = made([total, heads * headDim], bfloat16);
    const boundaries = documentBoundaries(lengths, device);
    const run = (): unknown => grad(documentAttention(q!, k!, v!, { lengths, boundaries }), [q!, k!, v!], g);
    console.log(JSON.stringify({ name: `attention ${name}`, ms: Number(milliseconds(run).toPrecision(4)) }));
  });
}
process.exit();
