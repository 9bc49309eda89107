// Element types. The codes are those of c10::ScalarType.

/** Float16Array where TypeScript's libraries have it (from 5.8 on, and not in ES2022): our declarations must do without. */
type Float16 = typeof globalThis extends { Float16Array: { prototype: infer T } } ? T : never;

export type TypedArray =
  | Float64Array
  | Float32Array
  | Float16
  | BigInt64Array
  | Int32Array
  | Int16Array
  | Int8Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

type TypedArrayConstructor = new (buffer: ArrayBuffer) => TypedArray;

/** An element type, such as `float32`. Compare with `===`. */
export class Dtype {
  readonly name: string;
  /** c10::ScalarType. @internal */
  readonly code: number;
  /** Bytes of one element. */
  readonly itemSize: number;
  readonly isFloatingPoint: boolean;
  readonly isComplex: boolean;

  constructor(name: string, code: number, itemSize: number, kind: "float" | "complex" | "int") {
    this.name = name;
    this.code = code;
    this.itemSize = itemSize;
    this.isFloatingPoint = kind === "float";
    this.isComplex = kind === "complex";
  }

  toString(): string {
    return `torch.${this.name}`;
  }
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}

export const uint8 = new Dtype("uint8", 0, 1, "int");
export const int8 = new Dtype("int8", 1, 1, "int");
export const int16 = new Dtype("int16", 2, 2, "int");
export const int32 = new Dtype("int32", 3, 4, "int");
export const int64 = new Dtype("int64", 4, 8, "int");
export const float16 = new Dtype("float16", 5, 2, "float");
export const float32 = new Dtype("float32", 6, 4, "float");
export const float64 = new Dtype("float64", 7, 8, "float");
export const complex32 = new Dtype("complex32", 8, 4, "complex");
export const complex64 = new Dtype("complex64", 9, 8, "complex");
export const complex128 = new Dtype("complex128", 10, 16, "complex");
export const bool = new Dtype("bool", 11, 1, "int");
export const bfloat16 = new Dtype("bfloat16", 15, 2, "float");
export const float8E5m2 = new Dtype("float8_e5m2", 23, 1, "float");
export const float8E4m3fn = new Dtype("float8_e4m3fn", 24, 1, "float");
export const float8E5m2fnuz = new Dtype("float8_e5m2fnuz", 25, 1, "float");
export const float8E4m3fnuz = new Dtype("float8_e4m3fnuz", 26, 1, "float");
export const uint16 = new Dtype("uint16", 27, 2, "int");
export const uint32 = new Dtype("uint32", 28, 4, "int");
export const uint64 = new Dtype("uint64", 29, 8, "int");

export const dtypes: readonly Dtype[] = [
  uint8,
  int8,
  int16,
  int32,
  int64,
  float16,
  float32,
  float64,
  complex32,
  complex64,
  complex128,
  bool,
  bfloat16,
  float8E5m2,
  float8E4m3fn,
  float8E5m2fnuz,
  float8E4m3fnuz,
  uint16,
  uint32,
  uint64,
];

const byCode: (Dtype | undefined)[] = [];
for (const dtype of dtypes) byCode[dtype.code] = dtype;

export function dtypeOfCode(code: number): Dtype {
  const found = byCode[code];
  if (!found) throw new Error(`libtorch's dtype ${code} has no name here`);
  return found;
}

/** The dtype named `name`, such as "bfloat16"; undefined if there is none. */
export function dtypeOfName(name: string): Dtype | undefined {
  return dtypes.find((dtype) => dtype.name === name);
}

const arrays = new Map<Dtype, TypedArrayConstructor>([
  [uint8, Uint8Array],
  [int8, Int8Array],
  [int16, Int16Array],
  [int32, Int32Array],
  [int64, BigInt64Array],
  // Node 24 introduced Float16Array; without it, float16 is read as raw bits.
  [float16, typeof Float16Array === "undefined" ? Uint16Array : Float16Array],
  [float32, Float32Array],
  [float64, Float64Array],
  [bool, Uint8Array],
  [uint16, Uint16Array],
  [uint32, Uint32Array],
  [uint64, BigUint64Array],
  // As raw bits: JavaScript has no typed array for these.
  [bfloat16, Uint16Array],
  [float8E5m2, Uint8Array],
  [float8E4m3fn, Uint8Array],
  [float8E5m2fnuz, Uint8Array],
  [float8E4m3fnuz, Uint8Array],
]);

/** The typed array that views this dtype's memory; undefined for complex dtypes. */
export function arrayTypeOf(dtype: Dtype): TypedArrayConstructor | undefined {
  return arrays.get(dtype);
}

/** The dtype of a typed array's elements. */
export function dtypeOfArray(array: ArrayBufferView): Dtype | undefined {
  if (array instanceof Float32Array) return float32;
  if (array instanceof Float64Array) return float64;
  if (array instanceof BigInt64Array) return int64;
  if (array instanceof Int32Array) return int32;
  if (array instanceof Uint8Array || array instanceof Uint8ClampedArray) return uint8;
  if (array instanceof Int8Array) return int8;
  if (array instanceof Int16Array) return int16;
  if (array instanceof Uint16Array) return uint16;
  if (array instanceof Uint32Array) return uint32;
  if (array instanceof BigUint64Array) return uint64;
  if (typeof Float16Array !== "undefined" && array instanceof Float16Array) return float16;
  return undefined;
}
