// The arithmetic of one step of AdamW or Adam, in the three ways that the configuration names. All change parameters and
// moments in place and leave gradients alone. Called without gradient recording, inside a scope; adamw.ts decides which
// parameters take part. The formulas and their order are torch.optim.adam's, so that results can be compared with PyTorch's.
import {
  _foreachAdd,
  _foreachAdd_,
  _foreachAddcdiv_,
  _foreachAddcmul_,
  _foreachDiv_,
  _foreachLerp_,
  _foreachMul,
  _foreachMul_,
  _foreachSqrt,
  _fusedAdam_,
  float32,
  float64,
  full,
  fused,
  type Tensor,
} from "../torch/index.ts";

/** Numbers that are the same for all parameters of a batch. */
export interface Numbers {
  /** Counts from 1. */
  readonly step: number;
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** AdamW shrinks the weights themselves; Adam adds the decay to the gradient. */
  readonly decoupled: boolean;
  /** Gradients count this many times (clipping without a pass of its own). */
  readonly gradScale: number;
}

/** Parameters of one step count and weight decay, with what belongs to them at the same index. */
export interface ParameterBatch {
  readonly params: Tensor[];
  readonly gradients: Tensor[];
  readonly expAvgs: Tensor[];
  readonly expAvgSqs: Tensor[];
  /** Of moments that are codes; empty for others. */
  readonly scales: Tensor[];
  readonly sqScales: Tensor[];
  /** Of random numbers, and the first element's number among them. */
  readonly keys: number[];
  readonly offsets: number[];
}

export type Implementation = "fused" | "foreach" | "for-loop";

export const updates: Readonly<Record<Implementation, (batch: ParameterBatch, numbers: Numbers) => void>> = {
  fused: updateFused,
  foreach: (batch, numbers) => inMomentDtype(batch, numbers, updateForeach),
  "for-loop": (batch, numbers) => inMomentDtype(batch, numbers, updateEach),
};

function corrections({ beta1, beta2, step }: Numbers): { first: number; rootOfSecond: number } {
  return { first: 1 - beta1 ** step, rootOfSecond: Math.sqrt(1 - beta2 ** step) };
}

/** Runs an update in the moments' dtype: narrower parameters take part as copies and are rounded once, at the end. */
function inMomentDtype(
  batch: ParameterBatch,
  numbers: Numbers,
  update: (batch: ParameterBatch, numbers: Numbers) => void,
): void {
  const wide = (list: readonly Tensor[]): Tensor[] => list.map((one, i) => one.to(batch.expAvgs[i]!.dtype));
  const params = wide(batch.params);
  let gradients = wide(batch.gradients);
  if (numbers.gradScale !== 1) gradients = _foreachMul(gradients, numbers.gradScale);
  update({ ...batch, params, gradients }, numbers);
  for (const [i, param] of batch.params.entries()) {
    if (param.dtype !== params[i]!.dtype) param.copy_(params[i]!);
  }
}

function updateEach(batch: ParameterBatch, numbers: Numbers): void {
  const { lr, beta1, beta2, eps, weightDecay, decoupled } = numbers;
  const { first, rootOfSecond } = corrections(numbers);
  for (const [i, param] of batch.params.entries()) {
    let gradient = batch.gradients[i]!;
    const expAvg = batch.expAvgs[i]!;
    const expAvgSq = batch.expAvgSqs[i]!;
    if (decoupled) param.mul_(1 - lr * weightDecay);
    else if (weightDecay !== 0) gradient = gradient.add(param, { alpha: weightDecay });
    expAvg.lerp_(gradient, 1 - beta1);
    expAvgSq.mul_(beta2).addcmul_(gradient, gradient, { value: 1 - beta2 });
    const denominator = expAvgSq.sqrt().div_(rootOfSecond).add_(eps);
    param.addcdiv_(expAvg, denominator, { value: -lr / first });
  }
}

function updateForeach(batch: ParameterBatch, numbers: Numbers): void {
  const { params, expAvgs, expAvgSqs } = batch;
  const { lr, beta1, beta2, eps, weightDecay, decoupled } = numbers;
  const { first, rootOfSecond } = corrections(numbers);
  let { gradients } = batch;
  if (decoupled) _foreachMul_(params, 1 - lr * weightDecay);
  else if (weightDecay !== 0) gradients = _foreachAdd(gradients, params, { alpha: weightDecay });
  _foreachLerp_(expAvgs, gradients, 1 - beta1);
  _foreachMul_(expAvgSqs, beta2);
  _foreachAddcmul_(expAvgSqs, gradients, gradients, 1 - beta2);
  const denominators = _foreachSqrt(expAvgSqs);
  _foreachDiv_(denominators, rootOfSecond);
  _foreachAdd_(denominators, eps);
  _foreachAddcdiv_(params, expAvgs, denominators, -lr / first);
}

/** One pass, in which parameters and moments of fewer bits than float32 are rounded. */
export function updateNarrow(batch: ParameterBatch, numbers: Numbers, stochastic: boolean): void {
  const { params, gradients, expAvgs, expAvgSqs, scales, sqScales, keys, offsets } = batch;
  const { step, ...rest } = numbers;
  const codes = { scales, sqScales };
  fused.adamwNarrow(params, gradients, expAvgs, expAvgSqs, step, {
    ...rest,
    ...codes,
    keys,
    offsets,
    stochastic,
  });
}

function updateFused(batch: ParameterBatch, numbers: Numbers): void {
  const { params, gradients, expAvgs, expAvgSqs } = batch;
  const { step, lr, beta1, beta2, eps, weightDecay, decoupled, gradScale } = numbers;
  if (decoupled) {
    const scale = gradScale === 1 ? null : full([], gradScale, { dtype: float64 });
    const options = { lr, beta1, beta2, eps, weightDecay, gradScale: scale };
    fused.adamw(params, gradients, expAvgs, expAvgSqs, step, options);
    return;
  }
  // Adam is PyTorch's own kernel, which wants one dtype throughout.
  if (params.some((param, i) => param.dtype !== expAvgs[i]!.dtype || param.dtype !== gradients[i]!.dtype)) {
    inMomentDtype(batch, numbers, updateForeach);
    return;
  }
  const scaled = gradScale === 1 ? gradients : _foreachMul(gradients, gradScale);
  const steps = params.map((param) => full([], step, { dtype: float32, device: param.device }));
  const options = { lr, beta1, beta2, weightDecay, eps, amsgrad: false, maximize: false };
  _fusedAdam_(params, scaled, expAvgs, expAvgSqs, [], steps, options);
}
