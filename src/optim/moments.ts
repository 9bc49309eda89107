// How an optimizer's moments are held: as float32, as bfloat16, or as 8-bit codes with one scale for up to 256 elements of a row
// (native/cuda/kernels/codes.h has the codes). Matrices alone are held as codes: vectors are few, and matter more. Layout and
// memory only; the arithmetic is in adam-update.ts.
// Source of the codes: Dettmers et al. 2022, https://arxiv.org/abs/2110.02861.
import {
  bfloat16,
  emptyLike,
  empty,
  float32,
  float64,
  int8,
  uint8,
  type Dtype,
  type Tensor,
} from "../torch/index.ts";

export type StateDtype = "float32" | "bfloat16" | "int8";

/** What a forecast knows of a parameter. */
export interface ParameterSize {
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

/** First and second moment of a parameter. */
export interface Moments {
  readonly expAvg: Tensor;
  readonly expAvgSq: Tensor;
  /** Of codes: [rows, blocks of a row]. */
  readonly scales: { readonly expAvg: Tensor; readonly expAvgSq: Tensor } | undefined;
}

/** The most elements that share a scale; the blocks of a row differ by one element at most. */
const blockElements = 256;
const blocksOfRow = (columns: number): number => Math.ceil(columns / blockElements);

const isCoded = (shape: readonly number[], stateDtype: StateDtype): boolean =>
  stateDtype === "int8" && shape.length === 2;

/** The dtype of moments that aren't codes. */
export function momentDtype(param: Dtype, stateDtype: StateDtype = "float32"): Dtype {
  if (param === float64) return float64;
  return stateDtype === "bfloat16" ? bfloat16 : float32;
}

/** Moments without values. */
export function makeMoments(param: Tensor, stateDtype: StateDtype): Moments {
  if (!isCoded(param.shape, stateDtype)) {
    const dtype = momentDtype(param.dtype, stateDtype);
    return { expAvg: emptyLike(param, { dtype }), expAvgSq: emptyLike(param, { dtype }), scales: undefined };
  }
  const [rows, columns] = param.shape as [number, number];
  const scale = () => empty([rows, blocksOfRow(columns)], { dtype: float32, device: param.device });
  return {
    expAvg: emptyLike(param, { dtype: int8 }),
    expAvgSq: emptyLike(param, { dtype: uint8 }),
    scales: { expAvg: scale(), expAvgSq: scale() },
  };
}

/** Bytes of a parameter's moments. */
export function momentBytes({ shape, dtype }: ParameterSize, stateDtype: StateDtype = "float32"): number {
  const numbers = shape.reduce((a, b) => a * b, 1);
  if (!isCoded(shape, stateDtype)) return 2 * numbers * momentDtype(dtype, stateDtype).itemSize;
  return 2 * (numbers + shape[0]! * blocksOfRow(shape[1]!) * float32.itemSize);
}

export function tensorsOf({ expAvg, expAvgSq, scales }: Moments): Tensor[] {
  return [expAvg, expAvgSq, ...(scales === undefined ? [] : [scales.expAvg, scales.expAvgSq])];
}
