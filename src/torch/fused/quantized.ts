// Matrices stored in fewer bits, row by row (native/fused/quantized.h): made, multiplied with, and made numbers again. The names of
// the formats are those of nn's storage formats.
import type { Dtype } from "../dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import * as wire from "../addon/wire.ts";
import { two } from "./results.ts";

const ops = {
  quantizeNf4: new wire.Op("forge::quantize_nf4", ""),
  nestMagnitudes: new wire.Op("forge::nest_magnitudes", ""),
  quantizeByRow: new wire.Op("forge::quantize_by_row", ""),
  dequantize: new wire.Op("forge::dequantize", ""),
  dequantizeComposed: new wire.Op("forge::dequantize_composed", ""),
  quantizedLinear: new wire.Op("forge::quantized_linear", ""),
  quantizationMap: new wire.Op("forge::quantization_map", ""),
};

export type RowFormat = "nf4" | "nf4-nested" | "int8" | "fp8";

/** A matrix [R, I] on the CPU in nf4: codes [R, I / 2], uint8, and the largest magnitude of each block of 64, [R, I / 64]. */
export function quantizeNf4(matrix: Tensor): [codes: Tensor, magnitudes: Tensor] {
  wire.tensor(wire.begin(ops.quantizeNf4), matrix, "matrix");
  wire.finish();
  return two();
}

/** Magnitudes [n] in 8 bits: codes [n], a scale for each group of 256, and their mean [1], which is taken off first. */
export function nestMagnitudes(magnitudes: Tensor): [codes: Tensor, scales: Tensor, offset: Tensor] {
  wire.tensor(wire.begin(ops.nestMagnitudes), magnitudes, "magnitudes");
  wire.finish();
  const [codes, scales] = two();
  return [codes, scales, wire.tensorAt(2)];
}

/** A matrix [R, I] on the CPU as rows of codes with a scale each, uint8. */
export function quantizeByRow(matrix: Tensor, format: "int8" | "fp8"): Tensor {
  const p = wire.tensor(wire.begin(ops.quantizeByRow), matrix, "matrix");
  wire.str(p, format, "format");
  wire.finish();
  return wire.tensorAt(0);
}

/** Rows of bytes as a matrix [R, columns] again, computed in float32 and rounded once. */
export function dequantize(rows: Tensor, format: RowFormat, columns: number, dtype: Dtype): Tensor {
  return dequantizeBy(ops.dequantize, rows, format, columns, dtype);
}

/** The same by libtorch's operators alone, as on devices without a kernel of ours: for tests. */
export function dequantizeComposed(rows: Tensor, format: RowFormat, columns: number, dtype: Dtype): Tensor {
  return dequantizeBy(ops.dequantizeComposed, rows, format, columns, dtype);
}

function dequantizeBy(op: wire.Op, rows: Tensor, format: RowFormat, columns: number, dtype: Dtype): Tensor {
  let p = wire.tensor(wire.begin(op), rows, "rows");
  p = wire.str(p, format, "format");
  p = wire.int(p, columns, "columns");
  wire.dtype(p, dtype, "dtype");
  wire.finish();
  return wire.tensorAt(0);
}

/**
 * `x @ Wᵀ`, where W [O, I] is given as rows of bytes. It is made numbers of x's dtype some rows at a time, forward and backward,
 * and has no gradient.
 *
 * @param x [T, I]
 * @returns [T, O]
 */
export function quantizedLinear(x: Tensor, rows: Tensor, format: RowFormat): Tensor {
  let p = wire.tensor(wire.begin(ops.quantizedLinear), x, "x");
  p = wire.tensor(p, rows, "rows");
  wire.str(p, format, "format");
  wire.finish();
  return wire.tensorAt(0);
}

/** The numbers that codes stand for: the 16 of `nf4`, or the 256 of nested magnitudes. */
export function quantizationMap(name: "nf4" | "nested"): Tensor {
  wire.str(wire.begin(ops.quantizationMap), name, "name");
  wire.finish();
  return wire.tensorAt(0);
}
