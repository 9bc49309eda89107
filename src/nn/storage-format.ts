// How the numbers of a parameter are stored: plainly, or some day quantized in blocks. Who divides parameters moves what is
// stored and asks here how much that is; only what computes with them sees numbers.
import type { Dtype } from "../torch/index.ts";
import { numel } from "./numel.ts";

export interface StorageFormat {
  readonly name: string;
  /** Of the stored elements. */
  readonly dtype: Dtype;
  /**
   * Bytes of a parameter of this shape. The entries of dimension 0 lie one after the other, so that a slice of them is one
   * range of bytes: it begins at `bytes` of the entries before it.
   */
  bytes(shape: readonly number[]): number;
}

/** Numbers of one dtype in C order. */
export function plain(dtype: Dtype): StorageFormat {
  return { name: dtype.name, dtype, bytes: (shape) => numel(shape) * dtype.itemSize };
}
