// Every fused operator against the same thing in plain operators and, where libtorch has one, its own fused operator:
// forward and backward through the same binding, at the shapes of SmolLM2-135M and Llama-3-8B. What is written to memory
// beside inputs, results and gradients is counted by the allocator. Arguments: --quick, --bars, --only=NAME.
import * as torch from "../src/torch/index.ts";
import type { Dtype, Tensor } from "../src/torch/index.ts";
import { alternate, median, medianRatio, quick, report, type Bar, type Figures } from "./harness.ts";

const { fused } = torch;
const rounds = quick ? 7 : 11;
/** Timings of equal work differ by this much between rounds of a quiet machine; the bar is "never slower". */
const noise = 0.03;
const only = process.argv.find((one) => one.startsWith("--only="))?.slice("--only=".length);
const mb = 2 ** 20;

const figures: Record<string, number> = {};
const bars: Bar[] = [];

type Results = readonly Tensor[];
interface Contest {
  readonly name: string;
  readonly ours: () => Results;
  readonly plain: () => Results;
  /** libtorch's own fused operator. */
  readonly aten?: () => Results;
}

const bytesOf = (tensors: Results) => tensors.reduce((sum, one) => sum + one.nbytes, 0);

/** Bytes at the peak of one call, beside what was there before and what it returns. */
function extraBytes(run: () => Results): number {
  using _ = torch.scope();
  torch.resetPeakMemory();
  const before = torch.memoryStats().currentBytes;
  const results = run();
  return torch.memoryStats().peakBytes - before - bytesOf(results);
}

function timed(run: () => Results, times: number): number {
  const begun = performance.now();
  for (let i = 0; i < times; i++) {
    using _ = torch.scope();
    run();
  }
  return (performance.now() - begun) / times;
}

/** Times the contenders in alternation and adds figures and bars. Returns plain's time over ours. */
async function contest({ name, ours, plain, aten }: Contest): Promise<number | undefined> {
  if (only !== undefined && !name.includes(only)) return undefined;
  const contenders = { ours, plain, ...(aten ? { aten } : {}) };
  for (const [who, run] of Object.entries(contenders))
    figures[`${name}_${who}_extra_mb`] = extraBytes(run) / mb;
  // short calls are repeated, so that one measurement takes about 30 ms
  const once = timed(plain, 1);
  const times = Math.max(1, Math.min(20, Math.round(30 / once)));
  // calls of seconds vary less
  const measured = await alternate(once > 1000 ? 3 : rounds, {
    ours: () => timed(ours, times),
    plain: () => timed(plain, times),
    aten: () => (aten ? timed(aten, times) : 0),
  });
  for (const who of Object.keys(contenders) as (keyof typeof contenders)[])
    figures[`${name}_${who}_ms`] = median(measured[who]);
  const limit = 1 + noise;
  bars.push({
    name: `${name}: time / plain`,
    value: medianRatio(measured.ours, measured.plain),
    op: "<=",
    limit,
  });
  if (aten)
    bars.push({
      name: `${name}: time / aten`,
      value: medianRatio(measured.ours, measured.aten),
      op: "<=",
      limit,
    });
  torch.emptyCache();
  return medianRatio(measured.plain, measured.ours);
}

/** Forward and backward: the results and the inputs' gradients. */
function both(run: () => Results, inputs: Results, gradOutputs: Results): () => Results {
  return () => {
    const outputs = run();
    return [...outputs, ...torch.grad(outputs, inputs, gradOutputs)];
  };
}

const eps = 1e-5;

/** As Transformers' LlamaRMSNorm writes it. */
function plainNorm(x: Tensor, weight: Tensor): Tensor {
  const wide = x.to(torch.float32);
  const scaled = wide.mul(wide.pow(2).mean([-1], true).add(eps).rsqrt());
  return weight.mul(scaled.to(x.dtype));
}

/** As Transformers' apply_rotary_pos_emb writes it; tables hold both halves. */
function plainRotary(x: Tensor, cos: Tensor, sin: Tensor): Tensor {
  const [first, second] = x.chunk(2, -1) as [Tensor, Tensor];
  return x.mul(cos).add(torch.cat([second.neg(), first], -1).mul(sin));
}

interface Shapes {
  readonly tokens: number;
  readonly width: number;
  readonly inner: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

async function block(model: string, shapes: Shapes, dtype: Dtype): Promise<void> {
  const { tokens, width, inner, heads, kvHeads, headDim } = shapes;
  const label = (op: string) => `${op}_${model}_${dtype.name}`;
  const constant = (...shape: number[]) => torch.randn(shape, { dtype });
  const input = (...shape: number[]) => constant(...shape).requiresGrad_();
  const x = input(1, tokens, width);
  const residual = input(1, tokens, width);
  const weight = input(width);
  const g = constant(1, tokens, width);
  await contest({
    name: label("rms_norm"),
    ours: both(() => [fused.rmsNorm(x, weight, eps)], [x, weight], [g]),
    plain: both(() => [plainNorm(x, weight)], [x, weight], [g]),
    aten: both(() => [torch.rmsNorm(x, [width], weight, eps)], [x, weight], [g]),
  });
  await contest({
    name: label("add_rms_norm"),
    ours: both(() => fused.addRmsNorm(x, residual, weight, eps), [x, residual, weight], [g, g]),
    plain: both(
      () => {
        const sum = x.add(residual);
        return [plainNorm(sum, weight), sum];
      },
      [x, residual, weight],
      [g, g],
    ),
  });
  const q = input(1, tokens, heads, headDim);
  const k = input(1, tokens, kvHeads, headDim);
  const grads = [constant(1, tokens, heads, headDim), constant(1, tokens, kvHeads, headDim)];
  const angles = torch.rand([tokens, headDim / 2]);
  const [cos, sin] = [angles.cos(), angles.sin()];
  const ids = torch.arange(tokens, { dtype: torch.int64 });
  const whole = (table: Tensor) => torch.cat([table, table], -1).to(dtype).unsqueeze(1);
  const [cos2, sin2] = [whole(cos), whole(sin)];
  await contest({
    name: label("rotary"),
    ours: both(() => fused.rotaryEmbedding(q, k, cos, sin, ids), [q, k], grads),
    plain: both(() => [plainRotary(q, cos2, sin2), plainRotary(k, cos2, sin2)], [q, k], grads),
  });
  const gate = input(1, tokens, inner);
  const up = input(1, tokens, inner);
  const joined = input(1, tokens, 2 * inner);
  const gi = constant(1, tokens, inner);
  await contest({
    name: label("swiglu"),
    ours: both(() => [fused.swiglu(gate, up)], [gate, up], [gi]),
    plain: both(() => [torch.silu(gate).mul(up)], [gate, up], [gi]),
  });
  await contest({
    name: label("swiglu_joined"),
    ours: both(() => [fused.swigluJoined(joined)], [joined], [gi]),
    plain: both(
      () => {
        const [first, second] = joined.chunk(2, -1) as [Tensor, Tensor];
        return [torch.silu(first).mul(second)];
      },
      [joined],
      [gi],
    ),
  });
}

async function optimizer(model: string, shapes: readonly (readonly number[])[], dtype: Dtype): Promise<void> {
  const label = (op: string) => `${op}_${model}_${dtype.name}`;
  const like = (fill: (shape: number[]) => Tensor) => shapes.map((shape) => fill([...shape]));
  const params = like((shape) => torch.randn(shape, { dtype }));
  const grads = like((shape) => torch.randn(shape, { dtype }));
  const m = like((shape) => torch.zeros(shape, { dtype }));
  const v = like((shape) => torch.zeros(shape, { dtype }));
  const steps = params.map(() => torch.ones([]));
  const [lr, beta1, beta2, weightDecay, small, step] = [1e-3, 0.9, 0.95, 0.1, 1e-8, 10];
  const options = { lr, beta1, beta2, weightDecay, eps: small };
  const none: Results = [];
  using _ = torch.noGrad();
  await contest({
    name: label("adamw"),
    ours: () => {
      fused.adamw(params, grads, m, v, step, options);
      return none;
    },
    // torch.optim.AdamW(foreach=False, fused=False), operator by operator
    plain: () => {
      for (const [i, p] of params.entries()) {
        p.mul_(1 - lr * weightDecay);
        m[i]!.lerp_(grads[i]!, 1 - beta1);
        v[i]!.mul_(beta2).addcmul_(grads[i]!, grads[i]!, { value: 1 - beta2 });
        const root = v[i]!.sqrt()
          .div_(Math.sqrt(1 - beta2 ** step))
          .add_(small);
        p.addcdiv_(m[i]!, root, { value: -lr / (1 - beta1 ** step) });
        root.dispose();
      }
      return none;
    },
    aten: () => {
      torch._fusedAdamw_(params, grads, m, v, [], steps, {
        ...options,
        amsgrad: false,
        maximize: false,
      });
      return none;
    },
  });
  const plainNorms = () => torch.linalgVectorNorm(torch.stack(grads.map((g) => torch.linalgVectorNorm(g))));
  const atenNorms = () => torch.linalgVectorNorm(torch.stack(torch._foreachNorm(grads)));
  await contest({
    name: label("grad_norm"),
    ours: () => [fused.gradNorm(grads)],
    plain: () => [plainNorms()],
    aten: () => [atenNorms()],
  });
  // torch.nn.utils.clip_grad_norm_ multiplies whatever the norm is, ours only where it is too large: here it always is
  let most = 1;
  const limit = () => (most *= 0.999);
  const coefficient = (norm: Tensor) => norm.add(1e-6).reciprocal().mul(limit()).clampMax(1);
  await contest({
    name: label("clip_grad_norm"),
    ours: () => [fused.clipGradNorm(grads, limit())],
    plain: () => {
      const norm = plainNorms();
      const by = coefficient(norm);
      for (const g of grads) g.mul_(by);
      return [norm];
    },
    aten: () => {
      const norm = atenNorms();
      torch._foreachMul_(grads, coefficient(norm));
      return [norm];
    },
  });
}

async function head(model: string, tokens: number, width: number, vocabulary: number): Promise<void> {
  const name = `linear_cross_entropy_${model}_float32`;
  if (only !== undefined && !name.includes(only)) return;
  torch.manualSeed(1);
  const hidden = torch.randn([tokens, width]).requiresGrad_();
  const weight = torch
    .randn([vocabulary, width])
    .mul_(width ** -0.5)
    .requiresGrad_();
  const labels = torch.randint(0, vocabulary, [tokens], { dtype: torch.int64 });
  // 40 % of the positions, exactly and spread out
  const ignored = torch.randperm(tokens).narrow(0, 0, tokens - Math.round(0.4 * tokens));
  labels.indexFill_(0, ignored, -100);
  const one = [torch.ones([])];
  const sum = 2; // the reduction's number
  const loss = (states: Tensor, targets: Tensor) =>
    torch.crossEntropyLoss(states.mm(weight.t()), targets, undefined, sum, -100);
  const gain = await contest({
    name,
    ours: both(() => [fused.linearCrossEntropy(hidden, weight, labels)[0]], [hidden, weight], one),
    plain: both(() => [loss(hidden, labels)], [hidden, weight], one),
  });
  // What a careful user writes: the labelled rows first. A figure, not a bar: all their logits are held.
  const select = both(
    () => {
      const rows = labels.ne(-100).nonzero().squeeze(1);
      return [loss(hidden.indexSelect(0, rows), labels.indexSelect(0, rows))];
    },
    [hidden, weight],
    one,
  );
  figures[`${name}_select_extra_mb`] = extraBytes(select) / mb;
  timed(select, 1);
  figures[`${name}_select_ms`] = median(Array.from({ length: 3 }, () => timed(select, 1)));
  const logits = (4 * tokens * vocabulary) / mb;
  figures[`${name}_logits_mb`] = logits;
  bars.push(
    { name: `${name}: plain / time at 40 % labelled`, value: gain!, op: ">=", limit: 1.3 },
    {
      name: `${name}: extra memory / all logits`,
      value: figures[`${name}_ours_extra_mb`]! / logits,
      op: "<=",
      limit: 0.1,
    },
  );
}

const smollm2: Shapes = { tokens: 1024, width: 576, inner: 1536, heads: 9, kvHeads: 3, headDim: 64 };
const llama3: Shapes = { tokens: 256, width: 4096, inner: 14336, heads: 32, kvHeads: 8, headDim: 128 };
for (const dtype of [torch.float32, torch.bfloat16]) {
  await within(() => block("smollm2", smollm2, dtype));
  await within(() => block("llama3_8b", llama3, dtype));
}
// SmolLM2-135M: 6 of its 30 layers and a quarter of the embedding. Llama-3-8B: one layer without two of its three
// feed-forward matrices.
const [w, i] = [smollm2.width, smollm2.inner];
const layer = [[w, w], [w / 3, w], [w / 3, w], [w, w], [i, w], [i, w], [w, i], [w], [w]];
const smallShapes = [...Array.from({ length: 6 }, () => layer).flat(), [49152 / 4, w]];
const [W, I] = [llama3.width, llama3.inner];
const bigShapes = [[W, W], [W / 4, W], [W / 4, W], [W, W], [I, W], [W], [W]];
for (const dtype of [torch.float32, torch.bfloat16]) {
  await within(() => optimizer("smollm2", smallShapes, dtype));
  if (!quick) await within(() => optimizer("llama3_8b", bigShapes, dtype));
}
await within(() => head("smollm2", 1024, 576, 49152));
await within(() => head("llama3_8b", 256, 4096, 128256));

async function within(run: () => Promise<void>): Promise<void> {
  using _ = torch.scope();
  await run();
}

const all: Figures = figures;
report("fused", all, bars, { threads: torch.getNumThreads(), rounds, noise_tolerance: noise });
