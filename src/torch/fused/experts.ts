// The feed-forward of a layer with experts, and the way of rows to experts of other processes.
import type { Tensor } from "../tensor/tensor.ts";
import * as wire from "../addon/wire.ts";

const ops = {
  expertMlp: new wire.Op("forge::expert_mlp", ""),
  spreadRows: new wire.Op("forge::spread_rows", ""),
  collectRows: new wire.Op("forge::collect_rows", ""),
};

/**
 * The SwiGLU feed-forward of a layer with experts, for rows that a router has given to experts: of each row the sum over its k
 * experts of `weight * swiglu(x @ gateᵀ, x @ upᵀ) @ downᵀ`. Waits for the device, which has the counts.
 *
 * @param x [R, D]
 * @param order pairs of row and choice (row * k + choice), sorted by expert: [R * k], int64
 * @param weights of the router: [R, k]
 * @param counts pairs of each expert: [E], int64
 * @param gate [I, D] for each expert
 * @param up like `gate`
 * @param down [D, I] for each expert
 * @returns [R, D]
 */
export function expertMlp(
  x: Tensor,
  order: Tensor,
  weights: Tensor,
  counts: Tensor,
  gate: readonly Tensor[],
  up: readonly Tensor[],
  down: readonly Tensor[],
): Tensor {
  let p = wire.begin(ops.expertMlp);
  p = wire.tensor(p, x, "x");
  p = wire.tensor(p, order, "order");
  p = wire.tensor(p, weights, "weights");
  p = wire.tensor(p, counts, "counts");
  p = wire.tensors(p, gate, "gate");
  p = wire.tensors(p, up, "up");
  wire.tensors(p, down, "down");
  wire.finish();
  return wire.tensorAt(0);
}

/** Each row for each of its k choices, in `order` (see `expertMlp`): [R, D] to [R * k, D]. */
export function spreadRows(x: Tensor, order: Tensor, choices: number): Tensor {
  return rows(ops.spreadRows, x, order, choices);
}

/** The sum over each row's choices: [R * k, D] in `order` (see `expertMlp`) to [R, D]. */
export function collectRows(pairs: Tensor, order: Tensor, choices: number): Tensor {
  return rows(ops.collectRows, pairs, order, choices);
}

function rows(op: wire.Op, x: Tensor, order: Tensor, choices: number): Tensor {
  let p = wire.begin(op);
  p = wire.tensor(p, x, "x");
  p = wire.tensor(p, order, "order");
  wire.int(p, choices, "choices");
  wire.finish();
  return wire.tensorAt(0);
}
