// The dtypes of the safetensors format and their sizes. Sub-byte types (F4, F6) are not supported.

/** Bytes per element, by the format's name of the dtype. */
export const dtypeBytes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E4M3: 1,
  F8_E4M3FNUZ: 1,
  F8_E5M2: 1,
  F8_E5M2FNUZ: 1,
  F8_E8M0: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  C64: 8,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

export type SafetensorsDtype = keyof typeof dtypeBytes;

/** Whether the dtype is supported. */
export function isSafetensorsDtype(name: string): name is SafetensorsDtype {
  return Object.hasOwn(dtypeBytes, name);
}

/** Number of elements of a shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/**
 * Tensors are written from the widest to the narrowest dtype, which keeps them aligned without holes. Among equal widths, the
 * reference implementation orders dtypes by this list, later first.
 */
const writeOrder = [
  "BOOL",
  "U8",
  "I8",
  "F8_E5M2",
  "F8_E4M3",
  "F8_E8M0",
  "F8_E4M3FNUZ",
  "F8_E5M2FNUZ",
  "I16",
  "U16",
  "F16",
  "BF16",
  "I32",
  "U32",
  "F32",
  "C64",
  "F64",
  "I64",
  "U64",
] as const satisfies readonly SafetensorsDtype[];

/** The reference implementation's order: wide dtypes first, then by the UTF-8 bytes of the name. */
export function compareForWriting(
  a: { name: string; dtype: SafetensorsDtype },
  b: { name: string; dtype: SafetensorsDtype },
): number {
  const byDtype = writeOrder.indexOf(b.dtype) - writeOrder.indexOf(a.dtype);
  return byDtype === 0 ? Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)) : byDtype;
}
