// The class Tensor: the generated methods, and those written by hand for JavaScript (reading values, indexing, autograd,
// storage, conversion, printing).
import { addon, check, f64 } from "../addon/addon.ts";
import { backward as runBackward } from "../autograd.ts";
import { setTensorClass } from "./base.ts";
import { Device } from "../device.ts";
import { arrayTypeOf, bool, Dtype, float32, type TypedArray } from "../dtype.ts";
import { ArgumentError } from "../errors.ts";
import * as F from "../generated/functions.ts";
import { TensorMethods } from "../generated/methods.ts";
import { indexPut, indexTensor, type Index } from "./indexing.ts";
import { format } from "./format.ts";
import { scope } from "../scope.ts";
import { describe } from "../describe.ts";
import { isTensor, optTensorAt, scalarAt, type MemoryFormat, type Scalar } from "../addon/wire.ts";

/** Values as nested arrays, one level per dimension. */
export type Nested = Scalar | Nested[];

export interface ToOptions {
  dtype?: Dtype | undefined;
  device?: Device | string | undefined;
  /** Copy even if nothing changes. */
  copy?: boolean | undefined;
  nonBlocking?: boolean | undefined;
  memoryFormat?: MemoryFormat | undefined;
}

export class Tensor extends TensorMethods {
  /** The value of a one-element tensor. Integers beyond 2^53 are bigints. */
  item(): number;
  item<T extends Scalar>(): T;
  item(): Scalar {
    const native = addon();
    f64[0] = this.handle;
    check(native.item());
    return scalarAt(0);
  }

  /** All values as nested arrays. int64 values are numbers if exact, else bigints. */
  tolist(): Nested {
    if (this.ndim === 0) return this.item<Scalar>();
    using _ = scope();
    const plain = this.detach();
    // The typed arrays of these dtypes hold raw bits (float16's too before Node 24).
    const isLowPrecision = this.dtype.isFloatingPoint && this.dtype.itemSize < 4;
    const values = (isLowPrecision ? F.to(plain, float32) : plain).toTypedArray({ copy: true });
    const isBool = this.dtype === bool;
    const shape = this.shape;
    let next = 0;
    const build = (depth: number): Nested => {
      if (depth === shape.length) {
        const value = values[next++]!;
        if (isBool) return value !== 0;
        return typeof value === "bigint" && BigInt.asIntN(54, value) === value ? Number(value) : value;
      }
      return Array.from({ length: shape[depth]! }, () => build(depth + 1));
    };
    return build(0);
  }

  /**
   * The values, in C order. The array shares the memory of a contiguous CPU tensor, whose storage then can't be resized any more,
   * as after PyTorch's `numpy()`. Otherwise, or with `copy: true`, it is a copy. bfloat16 and float8 are returned as raw bits.
   */
  toTypedArray(options: { copy?: boolean } = {}): TypedArray {
    const type = arrayTypeOf(this.dtype);
    if (!type)
      throw new ArgumentError(
        `toTypedArray: no typed array has ${this.dtype.name} elements; take viewAsReal() first`,
      );
    if (this.requiresGrad)
      throw new ArgumentError("toTypedArray: the tensor requires gradients; take detach() first");
    using _ = scope();
    const source = this.cpu().resolveConj().resolveNeg().contiguous();
    if (options.copy) {
      const bytes = new Uint8Array(source.nbytes);
      const native = addon();
      f64[0] = source.handle;
      f64[1] = 0;
      check(native.copyBytes(bytes, false));
      return new type(bytes.buffer);
    }
    const native = addon();
    f64[0] = source.handle;
    const buffer = native.bytes();
    if (!(buffer instanceof ArrayBuffer)) {
      check(buffer);
      throw new Error("toTypedArray: the addon gave no memory");
    }
    return new type(buffer);
  }

  /** Overwrites the bytes of a contiguous CPU tensor, starting at byte `offset`. Returns the tensor. */
  writeBytes(bytes: Uint8Array, offset = 0): this {
    if (!(bytes instanceof Uint8Array))
      throw new ArgumentError(`writeBytes: expected a Uint8Array, found ${describe(bytes)}`);
    const native = addon();
    f64[0] = this.handle;
    f64[1] = offset;
    check(native.copyBytes(bytes, true));
    return this;
  }
  /** Copies bytes of a contiguous CPU tensor, starting at byte `offset`, into `bytes`. Returns `bytes`. */
  readBytes(bytes: Uint8Array, offset = 0): Uint8Array {
    if (!(bytes instanceof Uint8Array))
      throw new ArgumentError(`readBytes: expected a Uint8Array, found ${describe(bytes)}`);
    const native = addon();
    f64[0] = this.handle;
    f64[1] = offset;
    check(native.copyBytes(bytes, false));
    return bytes;
  }

  /**
   * PyTorch's brackets: `x[0:2, None, mask]` is `x.index([slice(0, 2), null, mask])`. Integers and slices give views; masks and
   * index tensors give copies.
   */
  index(indices: readonly Index[]): Tensor {
    if (!Array.isArray(indices))
      throw new ArgumentError(
        `index: expected an array with one entry a dimension, found ${describe(indices)}`,
      );
    return indexTensor(this, indices);
  }
  /** `x[indices] = values`, or `+=` with `accumulate`. Returns the tensor. */
  indexPut_(
    indices: readonly Index[],
    values: Tensor | Scalar,
    options: { accumulate?: boolean } = {},
  ): this {
    if (!Array.isArray(indices))
      throw new ArgumentError(
        `indexPut_: expected an array with one entry a dimension, found ${describe(indices)}`,
      );
    indexPut(this, indices, values, options.accumulate ?? false);
    return this;
  }

  /** Converts the dtype, the device or both. Returns itself if nothing changes. */
  to(
    target: Dtype | Device | string | Tensor | ToOptions,
    options: Omit<ToOptions, "dtype" | "device"> = {},
  ): Tensor {
    let request: ToOptions;
    if (target instanceof Dtype) request = { ...options, dtype: target };
    else if (typeof target === "string" || target instanceof Device) request = { ...options, device: target };
    else if (isTensor(target)) request = { ...options, dtype: target.dtype, device: target.device };
    else request = { ...options, ...target };
    const conversion = {
      copy: request.copy ?? false,
      nonBlocking: request.nonBlocking ?? false,
      memoryFormat: request.memoryFormat,
    };
    if (request.device !== undefined)
      return F.to(this, request.device, request.dtype ?? this.dtype, conversion);
    return F.to(this, request.dtype ?? this.dtype, conversion);
  }
  cpu(): Tensor {
    return this.to("cpu");
  }
  cuda(index?: number): Tensor {
    return this.to(index === undefined ? "cuda" : `cuda:${index}`);
  }
  /** Converts to float32. */
  float(): Tensor {
    return this.to(float32);
  }

  /** The accumulated gradient; undefined if there is none. */
  get grad(): Tensor | undefined {
    const native = addon();
    f64[0] = this.handle;
    check(native.gradientGet());
    return optTensorAt(0);
  }
  set grad(value: Tensor | undefined | null) {
    if (value !== undefined && value !== null && !isTensor(value))
      throw new ArgumentError(`grad: expected a Tensor or undefined, found ${describe(value)}`);
    const native = addon();
    f64[0] = this.handle;
    f64[1] = value == null ? 0 : value.handle;
    check(native.gradientSet());
  }
  requiresGrad_(value = true): this {
    const native = addon();
    f64[0] = this.handle;
    f64[1] = value ? 1 : 0;
    check(native.requiresGradSet());
    return this;
  }
  /** Makes `backward` keep the gradient of a tensor that isn't a leaf. */
  retainGrad(): this {
    const native = addon();
    f64[0] = this.handle;
    check(native.retainGrad());
    return this;
  }
  /** Accumulates the gradients of this tensor into `.grad` of the leaves. */
  backward(
    gradient?: Tensor | null,
    options: { retainGraph?: boolean; createGraph?: boolean; inputs?: readonly Tensor[] } = {},
  ): void {
    runBackward(this, gradient ?? null, options);
  }
  /** Number of in-place changes; -1 for inference tensors. */
  get version(): number {
    const native = addon();
    f64[0] = this.handle;
    check(native.version());
    return f64[0];
  }

  /**
   * PyTorch's `.data`: the same memory, for writes that autograd must not notice, because they don't change this tensor's version.
   * Use `detach()` for everything else.
   */
  get data(): Tensor {
    return F.data(this);
  }

  /** The tensor's memory, which its views share. */
  get storage(): Storage {
    return new Storage(this);
  }

  get T(): Tensor {
    return F.numpyT(this);
  }
  get mT(): Tensor {
    return F.transpose(this, -2, -1);
  }
  isFloatingPoint(): boolean {
    return this.dtype.isFloatingPoint;
  }
  isComplex(): boolean {
    return this.dtype.isComplex;
  }

  /** The text that PyTorch prints. */
  override toString(): string {
    return format(this);
  }
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return format(this);
  }
  /** Rich output in a notebook. */
  [Symbol.for("Jupyter.display")](): Record<string, string> {
    return { "text/plain": format(this) };
  }
}

setTensorClass(Tensor);

/** The memory behind a tensor and its views. */
export class Storage {
  readonly #tensor: Tensor;
  constructor(tensor: Tensor) {
    this.#tensor = tensor;
  }
  #info(slot: number): number {
    const native = addon();
    f64[0] = this.#tensor.handle;
    check(native.storageInfo());
    return f64[slot]!;
  }
  get nbytes(): number {
    return this.#info(0);
  }
  /** Equal for tensors that share memory. */
  get id(): number {
    return this.#info(1);
  }
  /**
   * Frees the memory (0 bytes) or reallocates it. Tensors and graphs that refer to the storage see the new memory. On the CPU the
   * contents are kept, up to the smaller size.
   * @throws TorchError if JavaScript shares the memory
   */
  resize_(bytes: number): void {
    if (!Number.isSafeInteger(bytes))
      throw new ArgumentError(`resize_: bytes: expected a whole number, found ${describe(bytes)}`);
    const native = addon();
    f64[0] = this.#tensor.handle;
    f64[1] = bytes;
    check(native.storageResize());
  }
}
