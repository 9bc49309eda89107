// The base class of tensors: handle, metadata and disposal, without operators. Tensor (tensor.ts) extends TensorMethods
// (generated), which extends this.
import { addon, check, f64 } from "../addon/addon.ts";
import { deviceOfCode, type Device } from "../device.ts";
import { dtypeOfCode, type Dtype } from "../dtype.ts";
import { recordDisposal } from "../errors.ts";
import { layouts, type Layout } from "../layout.ts";
import { adopt, releaseHandle, type Scope } from "../scope.ts";
import type { Tensor } from "./tensor.ts";

type TensorClass = new (handle: number) => Tensor;
let tensorClass: TensorClass;

/** Sets the class of new tensors; avoids an import cycle. @internal */
export function setTensorClass(type: TensorClass): void {
  tensorClass = type;
}

export class TensorBase implements Disposable {
  /** The tensor's number in the addon. Never reused, so that use after disposal is detected. @internal */
  readonly handle: number;
  /** The scope that releases the tensor; undefined if there is none. @internal */
  owner: Scope | undefined = undefined;

  /** Takes ownership of a live handle. Use operators and creation functions instead. @internal */
  constructor(handle: number) {
    this.handle = handle;
  }

  /** @internal */
  static fromHandle(handle: number): Tensor {
    const tensor = new tensorClass(handle);
    adopt(tensor);
    return tensor;
  }

  /** Releases the tensor. Using it afterwards is an error; further calls do nothing. */
  dispose(): void {
    recordDisposal([this.handle]);
    releaseHandle(this.handle);
  }
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Writes the metadata to the buffer, in the layout of native/core/tensor.cc. */
  #meta(): void {
    const native = addon();
    f64[0] = this.handle;
    check(native.meta());
  }

  get dtype(): Dtype {
    this.#meta();
    return dtypeOfCode(f64[0]!);
  }
  get device(): Device {
    this.#meta();
    return deviceOfCode(f64[1]!, f64[2]!);
  }
  /** The sizes of the dimensions. */
  get shape(): number[] {
    this.#meta();
    const shape: number[] = [];
    for (let i = 0, n = f64[5]!; i < n; i++) shape.push(f64[6 + i]!);
    return shape;
  }
  /** The number of dimensions. */
  get ndim(): number {
    this.#meta();
    return f64[5]!;
  }
  /** Strides of all dimensions, or of one, in elements. */
  stride(): number[];
  stride(dim: number): number;
  stride(dim?: number): number | number[] {
    this.#meta();
    const n = f64[5]!;
    const strides = Array.from({ length: n }, (_, i) => f64[6 + n + i]!);
    return dim === undefined ? strides : pick(strides, dim, "stride");
  }
  /** Sizes of all dimensions, or of one; negative dimensions count from the end. */
  size(): number[];
  size(dim: number): number;
  size(dim?: number): number | number[] {
    return dim === undefined ? this.shape : pick(this.shape, dim, "size");
  }
  /** The number of dimensions. */
  dim(): number {
    return this.ndim;
  }
  storageOffset(): number {
    this.#meta();
    return f64[6 + 2 * f64[5]!]!;
  }
  /** The number of elements. */
  numel(): number {
    this.#meta();
    return f64[7 + 2 * f64[5]!]!;
  }
  /** Bytes of one element. */
  get itemsize(): number {
    this.#meta();
    return f64[8 + 2 * f64[5]!]!;
  }
  /** Bytes of one element. */
  elementSize(): number {
    return this.itemsize;
  }
  /** Bytes of all elements, without gaps between them. */
  get nbytes(): number {
    return this.numel() * this.itemsize;
  }
  /** The memory layout: `strided`, except for sparse tensors. */
  get layout(): Layout {
    this.#meta();
    return layouts[f64[3]!] ?? "strided";
  }
  get requiresGrad(): boolean {
    return (this.#flags() & 1) !== 0;
  }
  get isLeaf(): boolean {
    return (this.#flags() & 2) !== 0;
  }
  /** Whether the elements are in C order without gaps. */
  isContiguous(): boolean {
    return (this.#flags() & 4) !== 0;
  }
  /** Whether the tensor was created in inference mode. */
  isInference(): boolean {
    return (this.#flags() & 8) !== 0;
  }
  #flags(): number {
    this.#meta();
    return f64[4]!;
  }
}

function pick(list: readonly number[], dim: number, what: string): number {
  const found = Number.isInteger(dim) ? list.at(dim) : undefined;
  if (found === undefined)
    throw new RangeError(`${what}: dimension ${dim} of a tensor of ${list.length} dimensions`);
  return found;
}
