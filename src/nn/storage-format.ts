// How the numbers of a parameter are stored: plainly, or quantized (nf4.ts, int8.ts, fp8.ts). Who divides parameters moves what is
// stored and asks here how much that is; only what computes with them sees numbers.
import type { Dtype, fused, Tensor } from "../torch/index.ts";
import { numel } from "./numel.ts";

export interface StorageFormat {
  readonly name: string;
  /** Of the stored elements. */
  readonly dtype: Dtype;
  /** Of the tensor that holds a parameter of this shape. Dimension 0 is the parameter's, so that it is divided alike. */
  storedShape(shape: readonly number[]): readonly number[];
  /**
   * Bytes of a parameter of this shape. The entries of dimension 0 lie one after the other, so that a slice of them is one
   * range of bytes: it begins at `bytes` of the entries before it.
   */
  bytes(shape: readonly number[]): number;
}

/** Some rows [count, I] of a matrix, in any floating dtype, on the CPU. */
export type ReadRows = (start: number, count: number) => Tensor;

/** Matrices [O, I] of frozen linear layers in fewer bits: a row of bytes, uint8, for each output. */
export interface QuantizedFormat extends StorageFormat {
  readonly name: fused.RowFormat;
  /** A multiple of which a matrix must have in columns, and under tensor parallelism each part of it. */
  readonly columnBlock: number;
  /** Rows `own` of a matrix [O, I]: [own.length, bytes]. Which are asked for changes nothing in what a row becomes. */
  encode(
    read: ReadRows,
    shape: readonly [outputs: number, inputs: number],
    own: { readonly start: number; readonly length: number },
  ): Tensor;
  /** Some columns of stored rows, as stored rows. @param inputs columns that the rows have */
  columnsOf(
    rows: Tensor,
    inputs: number,
    columns: { readonly start: number; readonly length: number },
  ): Tensor;
}

/** Numbers of one dtype in C order. */
export function plain(dtype: Dtype): StorageFormat {
  return {
    name: dtype.name,
    dtype,
    storedShape: (shape) => shape,
    bytes: (shape) => numel(shape) * dtype.itemSize,
  };
}

export const isQuantized = (storage: StorageFormat | undefined): storage is QuantizedFormat =>
  storage !== undefined && "encode" in storage;

/** Rows, and perhaps columns, of a matrix. */
interface ShardRange {
  readonly start: number;
  readonly length: number;
  readonly columns?: { readonly start: number; readonly length: number } | undefined;
}

/** What a rank stores of a matrix. */
export function encodeSlice(
  format: QuantizedFormat,
  read: ReadRows,
  shape: readonly number[],
  slice: ShardRange | undefined,
): Tensor {
  const [outputs, inputs] = shape as [number, number];
  const rows = format.encode(read, [outputs, inputs], slice ?? { start: 0, length: outputs });
  return slice?.columns === undefined ? rows : format.columnsOf(rows, inputs, slice.columns);
}

/** Calls `body` for some rows at a time: what is worked on stays some megabytes. */
export function eachRows(
  { start, length }: { readonly start: number; readonly length: number },
  inputs: number,
  body: (start: number, count: number) => void,
): void {
  const most = Math.max(1, Math.floor((4 << 20) / inputs));
  for (let at = start; at < start + length; at += most) body(at, Math.min(most, start + length - at));
}
