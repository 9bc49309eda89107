// Writes an operator's arguments into the native buffer, and reads its results, by the types of its schema. The generated
// functions consist of these calls. A writer takes a position in the buffer and returns the next one; it checks its value's
// type first, so that a wrong argument is reported by name before anything runs.
import { addon, check, f64, i64 } from "./addon.ts";
import { TensorBase } from "../tensor/base.ts";
import { Device, device } from "../device.ts";
import { Dtype } from "../dtype.ts";
import { ArgumentError } from "../errors.ts";
import { camelCase } from "../operators/names.ts";
import { type Layout, layouts, type MemoryFormat, memoryFormats } from "../layout.ts";
import { describe } from "../describe.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A number argument of an operator: whole numbers are integers, a bigint is an int64. */
export type Scalar = number | bigint | boolean;
export type { Layout, MemoryFormat };

/** The part of a Generator that is written. Its class (random.ts) imports this file. */
interface GeneratorHandle {
  readonly id: number;
}

/** One operator of the dispatcher; looked up at its first call. */
export class Op {
  readonly name: string;
  readonly overload: string;
  /** How arguments are written; must match libtorch's schema (`layoutOf` in native/core/dispatch.cc). Empty: unknown. */
  readonly layout: string;
  /** Its id in the addon; -1 until the first call. */
  id = -1;
  constructor(name: string, overload: string, layout = "") {
    this.name = name;
    this.overload = overload;
    this.layout = layout;
  }
  resolve(): void {
    check(addon().op(this.name, this.overload, this.layout));
    this.id = f64[0]!;
  }
  /** Its name in TypeScript: `addcmul_` for `aten::addcmul_`; other namespaces are kept: `forge::rms_norm`. */
  toString(): string {
    return this.name.startsWith("aten::") ? camelCase(this.name.slice("aten::".length)) : this.name;
  }
}

let currentOp: Op;

/** Begins a call. Returns the position of the first argument. */
export function begin(op: Op): number {
  if (op.id < 0) op.resolve();
  currentOp = op;
  f64[0] = op.id;
  return 1;
}

/** Makes the call. Its results are then at the buffer's start. */
export function finish(): void {
  const failure = addon().call();
  if (failure !== undefined) check(failure);
}

function throwWrongType(name: string, expected: string, value: unknown): never {
  throw new ArgumentError(`${currentOp}: argument '${name}': expected ${expected}, found ${describe(value)}`);
}

function put(p: number, value: number): number {
  if (p >= f64.length)
    throw new ArgumentError(`${currentOp}: the arguments are too long (more than ${f64.length} values)`);
  f64[p] = value;
  return p + 1;
}

export function isTensor(value: unknown): value is Tensor {
  return value instanceof TensorBase;
}

/** Whether the value is an options object: `{…}`, not an instance of a class. */
export function isOptions(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

export function tensor(p: number, value: TensorBase, name: string): number {
  if (!(value instanceof TensorBase)) throwWrongType(name, "a Tensor", value);
  return put(p, value.handle);
}
export function optTensor(p: number, value: TensorBase | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : tensor(p, value, name);
}
export function tensors(p: number, value: readonly TensorBase[], name: string): number {
  if (!Array.isArray(value)) throwWrongType(name, "an array of Tensors", value);
  const list: readonly TensorBase[] = value;
  let pos = put(p, list.length);
  for (const one of list) pos = tensor(pos, one, name);
  return pos;
}
export function optTensors(
  p: number,
  value: readonly (TensorBase | null | undefined)[],
  name: string,
): number {
  if (!Array.isArray(value)) throwWrongType(name, "an array of Tensors or nulls", value);
  const list: readonly (TensorBase | null | undefined)[] = value;
  let pos = put(p, list.length);
  for (const one of list) pos = optTensor(pos, one, name);
  return pos;
}

export function scalar(p: number, value: Scalar, name: string): number {
  if (typeof value === "number") {
    const isInteger = Number.isSafeInteger(value) && !Object.is(value, -0);
    return put(put(p, isInteger ? 0 : 1), value);
  }
  if (typeof value === "boolean") return put(put(p, 2), value ? 1 : 0);
  if (typeof value !== "bigint") throwWrongType(name, "a number", value);
  if (BigInt.asIntN(64, value) !== value) throwWrongType(name, "a 64-bit integer", value);
  const pos = put(put(p, 3), 0);
  i64[pos - 1] = value;
  return pos;
}
export function optScalar(p: number, value: Scalar | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : scalar(put(p, 1), value, name);
}
export function scalars(p: number, value: readonly Scalar[], name: string): number {
  if (!Array.isArray(value)) throwWrongType(name, "an array of numbers", value);
  const list: readonly Scalar[] = value;
  let pos = put(p, list.length);
  for (const one of list) pos = scalar(pos, one, name);
  return pos;
}

export function int(p: number, value: number | bigint, name: string): number {
  if (typeof value === "bigint" && BigInt.asIntN(54, value) === value) return put(p, Number(value));
  if (!Number.isSafeInteger(value)) throwWrongType(name, "a whole number", value);
  return put(p, value as number);
}
export function optInt(p: number, value: number | bigint | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : int(put(p, 1), value, name);
}
/**
 * @param size a fixed length (`int[2]`), to which a single number is repeated; 0 for any length. With 1 any list is accepted, as
 *   in PyTorch. Other lengths are refused, because some operators would read beyond the list.
 * @param orEmpty whether an empty list is accepted as the default
 */
export function ints(
  p: number,
  value: number | readonly number[],
  name: string,
  size: number,
  orEmpty = false,
): number {
  if (typeof value === "number") {
    if (size === 0) throwWrongType(name, "an array of whole numbers", value);
    let pos = put(p, size);
    for (let i = 0; i < size; i++) pos = int(pos, value, name);
    return pos;
  }
  if (!Array.isArray(value)) throwWrongType(name, "an array of whole numbers", value);
  const list: readonly number[] = value;
  if (size > 1 && list.length !== size && !(orEmpty && list.length === 0)) {
    if (list.length !== 1) throwWrongType(name, `${size} whole numbers`, value);
    return ints(p, list[0]!, name, size);
  }
  let pos = put(p, list.length);
  for (const one of list) pos = int(pos, one, name);
  return pos;
}
export function optInts(
  p: number,
  value: number | readonly number[] | null | undefined,
  name: string,
  size: number,
  orEmpty = false,
): number {
  return value === undefined || value === null ? put(p, 0) : ints(put(p, 1), value, name, size, orEmpty);
}

export function float(p: number, value: number, name: string): number {
  if (typeof value !== "number") throwWrongType(name, "a number", value);
  return put(p, value);
}
export function optFloat(p: number, value: number | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : float(put(p, 1), value, name);
}
export function floats(p: number, value: readonly number[], name: string): number {
  if (!Array.isArray(value)) throwWrongType(name, "an array of numbers", value);
  const list: readonly number[] = value;
  let pos = put(p, list.length);
  for (const one of list) pos = float(pos, one, name);
  return pos;
}
export function optFloats(p: number, value: readonly number[] | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : floats(put(p, 1), value, name);
}

export function bool(p: number, value: boolean, name: string): number {
  if (typeof value !== "boolean") throwWrongType(name, "a boolean", value);
  return put(p, value ? 1 : 0);
}
export function optBool(p: number, value: boolean | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : bool(put(p, 1), value, name);
}
export function bools(p: number, value: readonly boolean[], name: string, size: number): number {
  if (!Array.isArray(value)) throwWrongType(name, "an array of booleans", value);
  const list: readonly boolean[] = value;
  if (size > 0 && list.length !== size) throwWrongType(name, `${size} booleans`, value);
  let pos = put(p, list.length);
  for (const one of list) pos = bool(pos, one, name);
  return pos;
}

const interned = new Map<string, number>();

export function str(p: number, value: string, name: string): number {
  if (typeof value !== "string") throwWrongType(name, "a string", value);
  let id = interned.get(value);
  if (id === undefined) {
    const first = f64[0]!; // intern returns its result in slot 0, which holds the operator's id
    check(addon().intern(value));
    id = f64[0]!;
    f64[0] = first;
    interned.set(value, id);
  }
  return put(p, id);
}
export function optStr(p: number, value: string | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : str(put(p, 1), value, name);
}

export function dtype(p: number, value: Dtype, name: string): number {
  if (!(value instanceof Dtype)) throwWrongType(name, "a dtype such as float32", value);
  return put(p, value.code);
}
export function optDtype(p: number, value: Dtype | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : dtype(put(p, 1), value, name);
}
export function optLayout(p: number, value: Layout | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : layout(put(p, 1), value, name);
}
export function layout(p: number, value: Layout, name: string): number {
  const code = (layouts as readonly string[]).indexOf(value);
  if (code < 0) throwWrongType(name, `one of ${layouts.join(", ")}`, value);
  return put(p, code);
}
export function memoryFormat(p: number, value: MemoryFormat, name: string): number {
  const code = (memoryFormats as readonly string[]).indexOf(value);
  if (code < 0) throwWrongType(name, `one of ${memoryFormats.join(", ")}`, value);
  return put(p, code);
}
export function optMemoryFormat(p: number, value: MemoryFormat | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : memoryFormat(put(p, 1), value, name);
}
export function deviceArg(p: number, value: Device | string, name: string): number {
  if (typeof value !== "string" && !(value instanceof Device))
    throwWrongType(name, "a device such as cpu or cuda:0", value);
  const found = device(value);
  return put(put(p, found.code), found.index ?? -1);
}
export function optDevice(p: number, value: Device | string | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : deviceArg(put(p, 1), value, name);
}
export function optGenerator(p: number, value: GeneratorHandle | null | undefined, name: string): number {
  if (value === undefined || value === null) return put(p, 0);
  if (typeof value !== "object" || typeof value.id !== "number") throwWrongType(name, "a Generator", value);
  return put(put(p, 1), value.id);
}

// Results. A list is its length followed by its values, a number its tag followed by itself.

/** The tensor at position p. */
export function tensorAt(p: number): Tensor {
  return TensorBase.fromHandle(f64[p]!);
}
/** The result of a creation function, whose option `requiresGrad` isn't part of the operator's schema. */
export function madeAt(p: number, options: Record<string, unknown> | undefined): Tensor {
  const tensor = tensorAt(p);
  const requiresGrad = options?.["requiresGrad"];
  if (requiresGrad === undefined || requiresGrad === false) return tensor;
  if (requiresGrad !== true) throwWrongType("requiresGrad", "a boolean", requiresGrad);
  return tensor.requiresGrad_();
}
/** The tensor at position p; undefined if the operator returned none. */
export function optTensorAt(p: number): Tensor | undefined {
  return f64[p] === 0 ? undefined : TensorBase.fromHandle(f64[p]!);
}
export function tensorsAt(p: number): Tensor[] {
  const n = f64[p]!;
  const list: Tensor[] = [];
  for (let i = 1; i <= n; i++) list.push(TensorBase.fromHandle(f64[p + i]!));
  return list;
}
/** A number, a boolean, or a bigint if an integer is beyond 2^53. */
export function scalarAt(p: number): Scalar {
  const tag = f64[p];
  if (tag === 3) return i64[p + 1]!;
  if (tag === 4) return BigInt.asUintN(64, i64[p + 1]!);
  return tag === 2 ? f64[p + 1] !== 0 : f64[p + 1]!;
}
export function intsAt(p: number): number[] {
  return Array.from({ length: f64[p]! }, (_, i) => Number(scalarAt(p + 1 + 2 * i)));
}

/** Checks the keys of an options object. */
export function takeOptions(
  fn: string,
  value: Record<string, unknown>,
  allowed: readonly string[],
): Record<string, unknown> {
  for (const key in value) {
    if (!allowed.includes(key)) {
      throw new ArgumentError(
        `${fn}: no option '${key}'; it takes ${allowed.length > 0 ? allowed.join(", ") : "none"}`,
      );
    }
  }
  return value;
}

/** Whether an options object fits an overload that takes `allowed`. */
export function fits(value: Record<string, unknown> | undefined, allowed: readonly string[]): boolean {
  if (value !== undefined) for (const key in value) if (!allowed.includes(key)) return false;
  return true;
}

// Type tests for overload resolution.

export function isScalar(value: unknown): value is Scalar {
  return typeof value === "number" || typeof value === "bigint" || typeof value === "boolean";
}
export function isNumberList(value: unknown): value is readonly number[] {
  return (
    Array.isArray(value) &&
    (value.length === 0 || typeof value[0] === "number" || typeof value[0] === "bigint")
  );
}
export function isTensorList(value: unknown): value is readonly Tensor[] {
  return Array.isArray(value) && (value.length === 0 || value[0] instanceof TensorBase);
}
export function isDevice(value: unknown): value is Device | string {
  return (
    value instanceof Device ||
    (typeof value === "string" && /^(cpu|cuda|mps|meta|xpu|hpu|mtia|privateuse1)(:\d+)?$/.test(value))
  );
}
