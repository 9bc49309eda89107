// Writes an operator's arguments into the native buffer and reads its results, by the types of its schema. Generated
// functions are made of these calls. Each writer checks its value's type first, so that a wrong argument is reported
// with its name before anything runs.
import { addon, check, f64, i64 } from "./addon.ts";
import { TensorBase } from "../tensor/base.ts";
import { Device, device } from "../device.ts";
import { Dtype } from "../dtype.ts";
import { ArgumentError } from "../errors.ts";
import { camelCase } from "../operators/names.ts";
import { type Layout, layouts, type MemoryFormat, memoryFormats } from "../layout.ts";
import { describe } from "../describe.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A number that an operator takes beside tensors: whole ones are integers, bigint is an int64. */
export type Scalar = number | bigint | boolean;
export type { Layout, MemoryFormat };

/** What is written of a Generator. Its class (random.ts) is made with this file. */
interface NumberedGenerator {
  readonly id: number;
}

/** One operator of the dispatcher; looked up at its first call. */
export class Op {
  readonly name: string;
  readonly overload: string;
  /** How arguments are written: libtorch's schema must be the same (`layoutOf` in native/core/dispatch.cc). Empty: not known. */
  readonly layout: string;
  /** Its number in the addon; -1 until the first call. */
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
  /** As TypeScript calls it: `addcmul_` for `aten::addcmul_`, `forge::rms_norm` for others. */
  toString(): string {
    return this.name.startsWith("aten::") ? camelCase(this.name.slice("aten::".length)) : this.name;
  }
}

let running: Op;

/** Begins a call: the position of the first argument. */
export function begin(op: Op): number {
  if (op.id < 0) op.resolve();
  running = op;
  f64[0] = op.id;
  return 1;
}

/** Ends a call: its results stand at the buffer's start. */
export function finish(): void {
  const failure = addon().call();
  if (failure !== undefined) check(failure);
}

function wrong(name: string, expected: string, value: unknown): never {
  throw new ArgumentError(`${running}: argument '${name}': expected ${expected}, found ${describe(value)}`);
}

function put(p: number, value: number): number {
  if (p >= f64.length)
    throw new ArgumentError(`${running}: the arguments are too long (more than ${f64.length} values)`);
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
  if (!(value instanceof TensorBase)) wrong(name, "a Tensor", value);
  return put(p, value.handle);
}
export function optTensor(p: number, value: TensorBase | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : tensor(p, value, name);
}
export function tensors(p: number, value: readonly TensorBase[], name: string): number {
  if (!Array.isArray(value)) wrong(name, "an array of Tensors", value);
  const list: readonly TensorBase[] = value;
  let at = put(p, list.length);
  for (const one of list) at = tensor(at, one, name);
  return at;
}
export function optTensors(
  p: number,
  value: readonly (TensorBase | null | undefined)[],
  name: string,
): number {
  if (!Array.isArray(value)) wrong(name, "an array of Tensors or nulls", value);
  const list: readonly (TensorBase | null | undefined)[] = value;
  let at = put(p, list.length);
  for (const one of list) at = optTensor(at, one, name);
  return at;
}

export function scalar(p: number, value: Scalar, name: string): number {
  if (typeof value === "number") {
    const whole = Number.isSafeInteger(value) && !Object.is(value, -0);
    return put(put(p, whole ? 0 : 1), value);
  }
  if (typeof value === "boolean") return put(put(p, 2), value ? 1 : 0);
  if (typeof value !== "bigint") wrong(name, "a number", value);
  if (BigInt.asIntN(64, value) !== value) wrong(name, "a 64-bit integer", value);
  const at = put(put(p, 3), 0);
  i64[at - 1] = value;
  return at;
}
export function optScalar(p: number, value: Scalar | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : scalar(put(p, 1), value, name);
}
export function scalars(p: number, value: readonly Scalar[], name: string): number {
  if (!Array.isArray(value)) wrong(name, "an array of numbers", value);
  const list: readonly Scalar[] = value;
  let at = put(p, list.length);
  for (const one of list) at = scalar(at, one, name);
  return at;
}

export function int(p: number, value: number | bigint, name: string): number {
  if (typeof value === "bigint" && BigInt.asIntN(54, value) === value) return put(p, Number(value));
  if (!Number.isSafeInteger(value)) wrong(name, "a whole number", value);
  return put(p, value as number);
}
export function optInt(p: number, value: number | bigint | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : int(put(p, 1), value, name);
}
/**
 * `size`: a fixed length (`int[2]`), to which one number spreads; 0 for any length, and 1 too, where PyTorch takes lists.
 * Another length is refused: operators rely on it, and some read beyond the list. `orEmpty`: an empty list stands for a
 * default.
 */
export function ints(
  p: number,
  value: number | readonly number[],
  name: string,
  size: number,
  orEmpty = false,
): number {
  if (typeof value === "number") {
    if (size === 0) wrong(name, "an array of whole numbers", value);
    let at = put(p, size);
    for (let i = 0; i < size; i++) at = int(at, value, name);
    return at;
  }
  if (!Array.isArray(value)) wrong(name, "an array of whole numbers", value);
  const list: readonly number[] = value;
  if (size > 1 && list.length !== size && !(orEmpty && list.length === 0)) {
    if (list.length !== 1) wrong(name, `${size} whole numbers`, value);
    return ints(p, list[0]!, name, size);
  }
  let at = put(p, list.length);
  for (const one of list) at = int(at, one, name);
  return at;
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
  if (typeof value !== "number") wrong(name, "a number", value);
  return put(p, value);
}
export function optFloat(p: number, value: number | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : float(put(p, 1), value, name);
}
export function floats(p: number, value: readonly number[], name: string): number {
  if (!Array.isArray(value)) wrong(name, "an array of numbers", value);
  const list: readonly number[] = value;
  let at = put(p, list.length);
  for (const one of list) at = float(at, one, name);
  return at;
}
export function optFloats(p: number, value: readonly number[] | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : floats(put(p, 1), value, name);
}

export function bool(p: number, value: boolean, name: string): number {
  if (typeof value !== "boolean") wrong(name, "a boolean", value);
  return put(p, value ? 1 : 0);
}
export function optBool(p: number, value: boolean | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : bool(put(p, 1), value, name);
}
export function bools(p: number, value: readonly boolean[], name: string, size: number): number {
  if (!Array.isArray(value)) wrong(name, "an array of booleans", value);
  const list: readonly boolean[] = value;
  if (size > 0 && list.length !== size) wrong(name, `${size} booleans`, value);
  let at = put(p, list.length);
  for (const one of list) at = bool(at, one, name);
  return at;
}

const interned = new Map<string, number>();

export function str(p: number, value: string, name: string): number {
  if (typeof value !== "string") wrong(name, "a string", value);
  let id = interned.get(value);
  if (id === undefined) {
    const first = f64[0]!; // intern answers in slot 0, where the operator's number stands
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
  if (!(value instanceof Dtype)) wrong(name, "a dtype such as float32", value);
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
  if (code < 0) wrong(name, `one of ${layouts.join(", ")}`, value);
  return put(p, code);
}
export function memoryFormat(p: number, value: MemoryFormat, name: string): number {
  const code = (memoryFormats as readonly string[]).indexOf(value);
  if (code < 0) wrong(name, `one of ${memoryFormats.join(", ")}`, value);
  return put(p, code);
}
export function optMemoryFormat(p: number, value: MemoryFormat | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : memoryFormat(put(p, 1), value, name);
}
export function deviceArg(p: number, value: Device | string, name: string): number {
  if (typeof value !== "string" && !(value instanceof Device))
    wrong(name, "a device such as cpu or cuda:0", value);
  const found = device(value);
  return put(put(p, found.code), found.index ?? -1);
}
export function optDevice(p: number, value: Device | string | null | undefined, name: string): number {
  return value === undefined || value === null ? put(p, 0) : deviceArg(put(p, 1), value, name);
}
export function optGenerator(p: number, value: NumberedGenerator | null | undefined, name: string): number {
  if (value === undefined || value === null) return put(p, 0);
  if (typeof value !== "object" || typeof value.id !== "number") wrong(name, "a Generator", value);
  return put(put(p, 1), value.id);
}

// Results. Positions count from the buffer's start; a list is its length and its values, a number its tag and itself.

/** The tensor at position p. */
export function tensorAt(p: number): Tensor {
  return TensorBase.fromHandle(f64[p]!);
}
/** The tensor that a creation function made at position p; `requiresGrad` among its options is not the operator's. */
export function madeAt(p: number, options: Record<string, unknown> | undefined): Tensor {
  const made = tensorAt(p);
  const wanted = options?.["requiresGrad"];
  if (wanted === undefined || wanted === false) return made;
  if (wanted !== true) wrong("requiresGrad", "a boolean", wanted);
  return made.requiresGrad_();
}
/** The tensor at position p, or undefined where the operator returned none. */
export function optTensorAt(p: number): Tensor | undefined {
  return f64[p] === 0 ? undefined : TensorBase.fromHandle(f64[p]!);
}
export function tensorsAt(p: number): Tensor[] {
  const n = f64[p]!;
  const list: Tensor[] = [];
  for (let i = 1; i <= n; i++) list.push(TensorBase.fromHandle(f64[p + i]!));
  return list;
}
/** A number, a boolean, or a bigint where an integer is beyond 2^53. */
export function scalarAt(p: number): Scalar {
  const tag = f64[p];
  if (tag === 3) return i64[p + 1]!;
  if (tag === 4) return BigInt.asUintN(64, i64[p + 1]!);
  return tag === 2 ? f64[p + 1] !== 0 : f64[p + 1]!;
}
export function intsAt(p: number): number[] {
  return Array.from({ length: f64[p]! }, (_, i) => Number(scalarAt(p + 1 + 2 * i)));
}

/** The options object among optional arguments, with its keys checked. */
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

/** Whether an options object could be meant for an overload that takes `allowed`. */
export function fits(value: Record<string, unknown> | undefined, allowed: readonly string[]): boolean {
  if (value !== undefined) for (const key in value) if (!allowed.includes(key)) return false;
  return true;
}

// Recognizing values, for the choice of an overload.

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
