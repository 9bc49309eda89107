// Which slice of an optimizer state a rank has, from the slice that it has of the parameter. Plain numbers.
import type { ShardSlice } from "../nn/index.ts";
import type { OptimizerState } from "../optim/index.ts";

/**
 * An elementwise state is divided as its parameter; one with a value for each block of a row has blocks for columns; any other
 * is whole (undefined).
 */
export function sliceOfState(
  { isElementwise, isBlockwise = false, tensor }: OptimizerState,
  slice: ShardSlice | undefined,
): ShardSlice | undefined {
  if (isElementwise) return slice;
  if (!isBlockwise || slice === undefined) return undefined;
  if (slice.columns === undefined) return slice;
  const { start, length, of } = slice.columns;
  const blocks = tensor.shape[1]!;
  const perColumn = blocks / length;
  return { ...slice, columns: { start: start * perColumn, length: blocks, of: of * perColumn } };
}
