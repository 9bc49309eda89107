// The two vocabularies of element types: safetensors' names and torch's.
import type { SafetensorsDtype } from "../../safetensors/index.ts";
import {
  bfloat16,
  bool,
  complex64,
  float16,
  float32,
  float64,
  float8E4m3fn,
  float8E4m3fnuz,
  float8E5m2,
  float8E5m2fnuz,
  int16,
  int32,
  int64,
  int8,
  uint16,
  uint32,
  uint64,
  uint8,
  type Dtype,
} from "../../torch/index.ts";

const pairs: ReadonlyArray<readonly [SafetensorsDtype, Dtype]> = [
  ["F32", float32],
  ["BF16", bfloat16],
  ["F16", float16],
  ["F64", float64],
  ["F8_E4M3", float8E4m3fn],
  ["F8_E4M3FNUZ", float8E4m3fnuz],
  ["F8_E5M2", float8E5m2],
  ["F8_E5M2FNUZ", float8E5m2fnuz],
  ["BOOL", bool],
  ["U8", uint8],
  ["I8", int8],
  ["U16", uint16],
  ["I16", int16],
  ["U32", uint32],
  ["I32", int32],
  ["U64", uint64],
  ["I64", int64],
  ["C64", complex64],
];

/** undefined for F8_E8M0, which torch's binding doesn't name. */
export function torchDtype(name: SafetensorsDtype): Dtype | undefined {
  return pairs.find(([known]) => known === name)?.[1];
}

/** @throws Error for a dtype that safetensors can't hold (complex32, complex128). */
export function safetensorsDtype(dtype: Dtype): SafetensorsDtype {
  const found = pairs.find(([, known]) => known === dtype)?.[0];
  if (found === undefined) throw new Error(`safetensors has no ${dtype.name}`);
  return found;
}
