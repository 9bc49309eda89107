// The part of a parameter that one rank holds, where a model is divided among ranks: some of its rows, and under tensor
// parallelism perhaps some columns of those. Plain numbers; which rank holds what is a strategy's business.
import type { Tensor } from "../torch/index.ts";

export interface ShardSlice {
  readonly dim: 0;
  /** Entries of dimension 0: the first one, and how many. */
  readonly start: number;
  readonly length: number;
  /** Entries of dimension 0 of the whole parameter. */
  readonly of: number;
  /** Which entries of dimension 1; undefined: all. */
  readonly columns?: { readonly start: number; readonly length: number; readonly of: number };
}

/** The shape of the whole parameter of which a tensor of this shape is the slice. */
export function wholeShape(shape: readonly number[], slice: ShardSlice | undefined): readonly number[] {
  if (slice === undefined) return shape;
  const whole = shape.with(0, slice.of);
  return slice.columns === undefined ? whole : whole.with(1, slice.columns.of);
}

/** The slice of a whole tensor: a view. */
export function sliceOf(whole: Tensor, slice: ShardSlice | undefined): Tensor {
  if (slice === undefined) return whole;
  const rows = whole.narrow(0, slice.start, slice.length);
  return slice.columns === undefined ? rows : rows.narrow(1, slice.columns.start, slice.columns.length);
}

/** Whether it holds the parameter's first number: of the ranks that divide it, exactly one does. */
export function isFirstSlice(slice: ShardSlice | undefined): boolean {
  if (slice === undefined) return true;
  return slice.start === 0 && slice.length > 0 && (slice.columns?.start ?? 0) === 0;
}
