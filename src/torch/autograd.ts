// Runs libtorch's autograd engine and switches its modes. JavaScript never runs inside a backward pass.
import { addon, check, f64 } from "./addon/addon.ts";
import { ArgumentError } from "./errors.ts";
import type { Tensor } from "./tensor/tensor.ts";
import { describe } from "./describe.ts";
import { isTensor, optTensorAt } from "./addon/wire.ts";

type TensorOrList = Tensor | readonly Tensor[];
type GradOutputs = Tensor | readonly (Tensor | null)[] | null | undefined;

/** Writes a tensor or a list of tensors, which may contain nulls if `nullable`. */
function putTensors(
  p: number,
  value: TensorOrList | readonly (Tensor | null)[],
  fn: string,
  name: string,
  nullable = false,
): number {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (p + list.length >= f64.length)
    throw new ArgumentError(`${fn}: the arguments are too long (more than ${f64.length} values)`);
  f64[p++] = list.length;
  for (const one of list) {
    if (isTensor(one)) f64[p++] = one.handle;
    else if (nullable && one === null) f64[p++] = 0;
    else throw new ArgumentError(`${fn}: argument '${name}': expected a Tensor, found ${describe(one)}`);
  }
  return p;
}

/** Writes one gradient per output. Default: ones, for scalar outputs. */
function putGradOutputs(p: number, value: GradOutputs, outputs: TensorOrList, fn: string): number {
  const count = Array.isArray(outputs) ? outputs.length : 1;
  if (value === undefined || value === null) {
    f64[p++] = count;
    for (let i = 0; i < count; i++) f64[p++] = 0;
    return p;
  }
  const found = Array.isArray(value) ? value.length : 1;
  if (found !== count)
    throw new ArgumentError(`${fn}: expected as many gradOutputs as outputs (${count}), found ${found}`);
  return putTensors(p, value, fn, "gradOutputs", true);
}

export interface GradOptions {
  /** Keep the graph for another backward pass. Default: `createGraph`. */
  retainGraph?: boolean;
  /** Make the gradients differentiable themselves. Default false. */
  createGraph?: boolean;
  /** Return undefined for an input that the outputs don't depend on, instead of throwing. Default false. */
  allowUnused?: boolean;
}

/**
 * Gradients of `outputs` with respect to `inputs`, weighted by `gradOutputs` (ones for scalar outputs). Doesn't change `.grad`.
 * With `allowUnused` the result has undefined for unused inputs.
 * @throws TorchError for an unused input without `allowUnused`, or a graph that was freed
 *
 * @example
 * ```ts
 * import { grad, tensor } from "torchforge/torch";
 *
 * const x = tensor([1, 2, 3], { requiresGrad: true });
 * const [dx] = grad(x.pow(2).sum(), [x]);
 * console.log(dx); // tensor([2., 4., 6.])
 * ```
 */
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  gradOutputs?: Tensor | readonly (Tensor | null)[] | null,
  options?: GradOptions & { allowUnused?: false },
): Tensor[];
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  gradOutputs: Tensor | readonly (Tensor | null)[] | null | undefined,
  options: GradOptions,
): (Tensor | undefined)[];
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: Tensor | readonly Tensor[],
  gradOutputs?: Tensor | readonly (Tensor | null)[] | null,
  options: GradOptions = {},
): (Tensor | undefined)[] {
  const native = addon();
  let p = putTensors(0, outputs, "grad", "outputs");
  p = putTensors(p, inputs, "grad", "inputs");
  p = putGradOutputs(p, gradOutputs, outputs, "grad");
  f64[p] = (options.retainGraph ?? options.createGraph) ? 1 : 0;
  f64[p + 1] = options.createGraph ? 1 : 0;
  f64[p + 2] = options.allowUnused ? 1 : 0;
  const failure = native.grad();
  if (failure !== undefined) check(failure);
  const count = f64[0]!;
  const gradients: (Tensor | undefined)[] = [];
  for (let i = 1; i <= count; i++) gradients.push(optTensorAt(i));
  return gradients;
}

/**
 * Accumulates the gradients of `outputs` into `.grad` of the leaves (or of `inputs` only).
 *
 * @example
 * ```ts
 * import { backward, tensor } from "torchforge/torch";
 *
 * const weight = tensor([2, 3], { requiresGrad: true });
 * backward(weight.mul(weight).sum());
 * console.log(weight.grad?.tolist()); // [4, 6]
 * ```
 */
export function backward(
  outputs: Tensor | readonly Tensor[],
  gradOutputs?: Tensor | readonly (Tensor | null)[] | null,
  options: { retainGraph?: boolean; createGraph?: boolean; inputs?: readonly Tensor[] } = {},
): void {
  const native = addon();
  let p = putTensors(0, outputs, "backward", "outputs");
  p = putGradOutputs(p, gradOutputs, outputs, "backward");
  p = putTensors(p, options.inputs ?? [], "backward", "inputs");
  f64[p] = (options.retainGraph ?? options.createGraph) ? 1 : 0;
  f64[p + 1] = options.createGraph ? 1 : 0;
  check(native.backward());
}

function setGradMode(value: number): boolean {
  const native = addon();
  f64[0] = value;
  check(native.gradModeSet());
  return f64[0] !== 0;
}

export function isGradEnabled(): boolean {
  return setGradMode(-1);
}

/** Restores the previous mode when disposed. */
class GradMode implements Disposable {
  readonly #before: boolean;
  #ended = false;
  constructor(value: boolean) {
    this.#before = setGradMode(value ? 1 : 0);
  }
  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    setGradMode(this.#before ? 1 : 0);
  }
}

class InferenceMode implements Disposable {
  #ended = false;
  constructor() {
    check(addon().inferenceModePush());
  }
  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    check(addon().inferenceModePop());
  }
}

function runInMode<T>(mode: Disposable, body: () => T): T {
  try {
    const result = body();
    if (result instanceof Promise) {
      throw new ArgumentError(
        "noGrad, enableGrad and inferenceMode take a synchronous function: a mode belongs to the thread, and other code would run in it while this one waits",
      );
    }
    return result;
  } finally {
    mode[Symbol.dispose]();
  }
}

/**
 * Turns gradient recording off, until the end of `using mode = noGrad()` or of the given function.
 *
 * @example
 * ```ts
 * import { noGrad, ones } from "torchforge/torch";
 *
 * const weight = ones([2]).requiresGrad_();
 * noGrad(() => weight.sub_(0.5)); // not recorded by autograd
 * ```
 */
export function noGrad(): Disposable;
export function noGrad<T>(body: () => T): T;
export function noGrad<T>(body?: () => T): T | Disposable {
  const mode = new GradMode(false);
  return body ? runInMode(mode, body) : mode;
}
/** Turns gradient recording on again, inside `noGrad`. */
export function enableGrad(): Disposable;
export function enableGrad<T>(body: () => T): T;
export function enableGrad<T>(body?: () => T): T | Disposable {
  const mode = new GradMode(true);
  return body ? runInMode(mode, body) : mode;
}
/**
 * Like `noGrad`, but faster: tensors created inside can never take part in autograd. Modes must end in reverse order.
 *
 * @example
 * ```ts
 * import { inferenceMode, randn } from "torchforge/torch";
 *
 * const weight = randn([4, 8]).requiresGrad_();
 * const logits = inferenceMode(() => randn([2, 8]).matmul(weight.t()));
 * console.log(logits.requiresGrad); // false
 * ```
 */
export function inferenceMode(): Disposable;
export function inferenceMode<T>(body: () => T): T;
export function inferenceMode<T>(body?: () => T): T | Disposable {
  const mode = new InferenceMode();
  return body ? runInMode(mode, body) : mode;
}
