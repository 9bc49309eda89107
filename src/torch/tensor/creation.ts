// Creates tensors from JavaScript's values and memory. Functions like zeros and arange are generated; the ones here infer the
// dtype from JavaScript's types: number is float32, bigint is int64, boolean is bool.
import { addon, check, f64 } from "../addon/addon.ts";
import { TensorBase } from "./base.ts";
import { device as parseDevice, type Device } from "../device.ts";
import { bool, dtypeOfArray, float32, int64, type Dtype, type TypedArray } from "../dtype.ts";
import { ArgumentError } from "../errors.ts";
import * as F from "../generated/functions.ts";
import type { Tensor } from "./tensor.ts";
import { describe } from "../describe.ts";
import { pinBuffer } from "./shared-buffer.ts";
import { type Scalar } from "../addon/wire.ts";

export interface TensorOptions {
  dtype?: Dtype | undefined;
  device?: Device | string | undefined;
  requiresGrad?: boolean | undefined;
}

/** Numbers, nested to any depth. */
export type NestedArray<T = Scalar> = readonly (T | NestedArray<T>)[];

function fromMemory(data: ArrayBufferView, shape: readonly number[], dtype: Dtype, share: boolean): Tensor {
  const native = addon();
  if (!Array.isArray(shape) || !shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw new ArgumentError(
      `fromTypedArray: shape: expected whole numbers from 0 on, found ${describe(shape)}`,
    );
  }
  f64[0] = dtype.code;
  f64[1] = shape.length;
  for (const [i, size] of shape.entries()) f64[2 + i] = size;
  check(native.from(data, share));
  return TensorBase.fromHandle(f64[0]);
}

function applyOptions(made: Tensor, options: TensorOptions): Tensor {
  let result = made;
  if (options.device !== undefined && parseDevice(options.device).type !== "cpu") {
    result = F.to(made, parseDevice(options.device), made.dtype);
    made.dispose();
  }
  return options.requiresGrad ? result.requiresGrad_() : result;
}

/**
 * A tensor with a typed array's elements, in C order. Copies the memory; with `copy: false` both share it. From then on the
 * array's buffer can't be transferred to another thread: what tries to throws. Memory that can move isn't shared.
 * @param shape default: one dimension
 * @throws TorchError if the shape doesn't match the number of elements
 *
 * @example
 * ```ts
 * import { fromTypedArray } from "torchforge/torch";
 *
 * const matrix = fromTypedArray(Float32Array.of(1, 2, 3, 4), [2, 2]);
 * console.log(matrix.select(0, 1).tolist()); // [3, 4]
 * ```
 */
export function fromTypedArray(
  data: TypedArray | Uint8ClampedArray,
  shape?: readonly number[],
  options: TensorOptions & { copy?: boolean } = {},
): Tensor {
  const arrayDtype = ArrayBuffer.isView(data) ? dtypeOfArray(data) : undefined;
  if (!arrayDtype)
    throw new ArgumentError(`fromTypedArray: data: expected a typed array, found ${describe(data)}`);
  const dtype = options.dtype ?? arrayDtype;
  const count = data.byteLength / dtype.itemSize;
  const sameBits =
    dtype.itemSize === arrayDtype.itemSize && (dtype === arrayDtype || arrayDtype.name.startsWith("uint"));
  if (sameBits) {
    if (options.copy === false) pinBuffer(data.buffer);
    return applyOptions(fromMemory(data, shape ?? [count], dtype, options.copy === false), options);
  }
  const made = fromMemory(data, shape ?? [data.length], arrayDtype, false);
  const converted = F.to(made, dtype);
  made.dispose();
  return applyOptions(converted, options);
}

/** An int64 vector. @internal */
export function fromIntegers(list: readonly number[]): Tensor {
  return fromMemory(BigInt64Array.from(list, BigInt), [list.length], int64, false);
}

function shapeOf(value: NestedArray | Scalar): number[] {
  const shape: number[] = [];
  let level: unknown = value;
  while (Array.isArray(level)) {
    shape.push(level.length);
    level = level[0];
  }
  return shape;
}

function flatten(value: unknown, shape: readonly number[], depth: number, out: Scalar[]): void {
  if (depth === shape.length) {
    if (typeof value !== "number" && typeof value !== "bigint" && typeof value !== "boolean") {
      throw new ArgumentError(
        `fromArray: expected numbers, bigints or booleans nested to depth ${shape.length}, found ${describe(value)}`,
      );
    }
    out.push(value);
    return;
  }
  if (!Array.isArray(value) || value.length !== shape[depth]) {
    throw new ArgumentError(
      `fromArray: expected ${shape[depth]} entries at depth ${depth}, found ${Array.isArray(value) ? value.length : describe(value)}: the arrays must be of equal length`,
    );
  }
  for (const one of value as unknown[]) flatten(one, shape, depth + 1, out);
}

/**
 * A tensor of a number or of nested arrays. Default dtype: float32 for numbers, int64 for bigints, bool for booleans.
 *
 * @example
 * ```ts
 * import { bfloat16, tensor } from "torchforge/torch";
 *
 * const weights = tensor([[1, 2], [3, 4]], { dtype: bfloat16 });
 * console.log(weights.shape, weights.dtype.name); // [2, 2] bfloat16
 * ```
 */
export function fromArray(value: NestedArray | Scalar, options: TensorOptions = {}): Tensor {
  const shape = shapeOf(value);
  const flat: Scalar[] = [];
  flatten(value, shape, 0, flat);
  const kind = typeof (flat[0] ?? 0);
  const mixed = flat.find((one) => typeof one !== kind);
  if (mixed !== undefined)
    throw new ArgumentError(`fromArray: expected only ${kind}s, found ${describe(mixed)}`);
  const defaultDtype = kind === "bigint" ? int64 : kind === "boolean" ? bool : float32;
  const dtype = options.dtype ?? defaultDtype;
  let made: Tensor;
  if (kind === "bigint") {
    for (const one of flat as bigint[]) {
      if (BigInt.asIntN(64, one) !== one)
        throw new ArgumentError(`fromArray: expected 64-bit integers, found ${one}n`);
    }
    made = fromMemory(BigInt64Array.from(flat as bigint[]), shape, int64, false);
  } else if (kind === "boolean") {
    made = fromMemory(Uint8Array.from(flat as boolean[], Number), shape, bool, false);
  } else if (dtype === float32) {
    made = fromMemory(Float32Array.from(flat as number[]), shape, float32, false);
  } else {
    // Via float64, so that float64 and integers lose no digits.
    made = F.to(
      fromMemory(Float64Array.from(flat as number[]), shape, dtypeOfArray(new Float64Array())!, false),
      dtype,
    );
    return applyOptions(made, options);
  }
  if (made.dtype !== dtype) made = F.to(made, dtype);
  return applyOptions(made, options);
}

/** PyTorch's name for `fromArray`. */
export const tensor = fromArray;

/** A tensor filled with one value. Default dtype as in `fromArray`. */
export function full(size: readonly number[], fillValue: Scalar, options: TensorOptions = {}): Tensor {
  const defaultDtype =
    typeof fillValue === "bigint" ? int64 : typeof fillValue === "boolean" ? bool : float32;
  const made = F.full(size, fillValue, { dtype: options.dtype ?? defaultDtype, device: options.device });
  return options.requiresGrad ? made.requiresGrad_() : made;
}
