// Indexing like PyTorch's brackets: integers, slices, null (a new dimension), "...", masks and index tensors.
import { ArgumentError } from "../errors.ts";
import * as F from "../generated/functions.ts";
import { fromIntegers } from "./creation.ts";
import { int64 } from "../dtype.ts";
import type { Tensor } from "./tensor.ts";
import { describe } from "../describe.ts";
import { isTensor, type Scalar } from "../addon/wire.ts";

/** Python's `start:stop:step`. */
export class Slice {
  readonly start: number | undefined;
  readonly stop: number | undefined;
  readonly step: number;
  constructor(start: number | undefined, stop: number | undefined, step: number) {
    this.start = start;
    this.stop = stop;
    this.step = step;
  }
}

/**
 * `slice()` is Python's `:`, `slice(2)` is `2:`, `slice(0, 2)` is `0:2`, `slice(0, 8, 2)` is `0:8:2`.
 *
 * @example
 * ```ts
 * import { arange, slice } from "torchforge/torch";
 *
 * const row = arange(10);
 * console.log(row.index([slice(2, 8, 2)]).tolist()); // [2, 4, 6], as row[2:8:2]
 * ```
 */
export function slice(start?: number | null, stop?: number | null, step = 1): Slice {
  for (const value of [start, stop, step]) {
    if (value !== undefined && value !== null && !Number.isInteger(value)) {
      throw new ArgumentError(`slice: expected whole numbers, found ${describe(value)}`);
    }
  }
  if (step < 1) throw new ArgumentError(`slice: step: expected 1 or more, found ${step} (flip() reverses)`);
  return new Slice(start ?? undefined, stop ?? undefined, step);
}

/** One entry of the brackets. */
export type Index = number | Slice | null | boolean | "..." | Tensor | readonly number[];

interface PreparedIndex {
  view: Tensor;
  /** Index tensors by dimension of `view`; empty if a view suffices. */
  indices: (Tensor | null)[];
}

function dimsUsed(index: Index): number {
  if (index === null || index === "..." || typeof index === "boolean") return 0;
  if (isTensor(index) && index.dtype.name === "bool") return index.ndim;
  return 1;
}

function prepareIndex(self: Tensor, spec: readonly Index[], fn: string): PreparedIndex {
  const rank = self.ndim;
  const used = spec.reduce<number>((sum, one) => sum + dimsUsed(one), 0);
  if (used > rank)
    throw new ArgumentError(`${fn}: too many indices: ${used} for a tensor of ${rank} dimensions`);
  if (spec.filter((one) => one === "...").length > 1) throw new ArgumentError(`${fn}: "..." may stand once`);
  let view = self;
  let dim = 0;
  const indices: (Tensor | null)[] = [];
  for (const one of spec) {
    if (one === "...") {
      dim += rank - used;
    } else if (one === null) {
      view = F.unsqueeze(view, dim);
      dim++;
    } else if (typeof one === "number") {
      if (!Number.isInteger(one)) throw new ArgumentError(`${fn}: expected a whole number, found ${one}`);
      view = F.select(view, dim, one);
    } else if (one instanceof Slice) {
      view = F.slice(view, dim, one.start ?? null, one.stop ?? null, one.step);
      dim++;
    } else if (typeof one === "boolean") {
      throw new ArgumentError(`${fn}: true and false don't index; use null for a new dimension`);
    } else {
      const tensor = isTensor(one) ? one : listTensor(one, self, fn);
      while (indices.length < dim) indices.push(null);
      indices.push(tensor);
      dim += tensor.dtype.name === "bool" ? tensor.ndim : 1;
      // A mask indexes as many dimensions as it has, but the operator takes one index tensor per dimension.
      if (tensor.dtype.name === "bool" && tensor.ndim > 1) {
        const [mask, rest] = [indices.pop()!, F.nonzero(tensor)];
        for (let d = 0; d < mask.ndim; d++) indices.push(F.select(rest, 1, d));
      }
    }
  }
  return { view, indices };
}

function listTensor(list: readonly number[], self: Tensor, fn: string): Tensor {
  if (!Array.isArray(list) || !list.every((one) => Number.isInteger(one))) {
    throw new ArgumentError(
      `${fn}: expected a whole number, slice(), null, "...", a Tensor or an array of whole numbers; found ${describe(list)}`,
    );
  }
  if (list.length === 0) return F.empty([0], { dtype: int64, device: self.device });
  const tensor = fromIntegers(list);
  return self.device.type === "cpu" ? tensor : F.to(tensor, self.device, int64);
}

export function indexTensor(self: Tensor, spec: readonly Index[]): Tensor {
  const { view, indices } = prepareIndex(self, spec, "index");
  if (indices.length > 0) return F.index(view, indices);
  return view === self ? F.alias(self) : view;
}

export function indexPut(
  self: Tensor,
  spec: readonly Index[],
  value: Tensor | Scalar,
  accumulate: boolean,
): void {
  const { view, indices } = prepareIndex(self, spec, "indexPut_");
  const values = isTensor(value) ? value : F.scalarTensor(value, { dtype: self.dtype, device: self.device });
  if (indices.length > 0) F.indexPut_(view, indices, values, accumulate);
  else if (accumulate) F.add_(view, values);
  else F.copy_(view, values);
}
