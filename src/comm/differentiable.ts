// Collectives with gradients. The gradient is that of the sum of all ranks' losses, as in torch.distributed.nn: the backward of
// an all-reduce is an all-reduce, of an all-gather a reduce-scatter, of an all-to-all the reverse one. Backward is collective
// too: every rank must run it, in the same order. The region functions are for tensor parallelism, where all ranks share one
// loss (Megatron-LM, section 3: f and g).
import { cat, type Tensor } from "../torch/index.ts";
import { UserError } from "../util/index.ts";
import { checkGroup, checkReduceOp, checkSplits } from "./checks.ts";
import { dimension } from "./functional.ts";
import * as operators from "./operators.ts";
import type { ProcessGroup } from "./process-group.ts";

interface Options {
  /** Default: the group of all ranks. */
  group?: ProcessGroup;
}

function checkLinear(call: string, op: string): void {
  if (op !== "sum" && op !== "avg") {
    throw new UserError(`${call}: op: only "sum" and "avg" have a gradient, found "${op}".`);
  }
}

/** The sum (or mean) of all ranks' `input`. Its gradient is reduced the same way. */
export function allReduce(input: Tensor, options: Options & { op?: "sum" | "avg" } = {}): Tensor {
  const group = checkGroup("allReduce", options.group);
  const op = options.op ?? "sum";
  checkLinear("allReduce", op);
  checkReduceOp("allReduce", op, input.dtype);
  return operators.allReduceDifferentiable(input, op, group.name);
}

/** All ranks' `input` concatenated along `dim` (default 0). Its gradient is reduce-scattered. */
export function allGather(input: Tensor, options: Options & { dim?: number } = {}): Tensor {
  const group = checkGroup("allGather", options.group);
  const dim = dimension("allGather", input, options.dim ?? 0);
  const gathered = operators.allGatherDifferentiable(input, group.name);
  return dim === 0 || group.size === 1 ? gathered : cat(gathered.chunk(group.size, 0), dim);
}

/** This rank's chunk along `dim` (default 0) of the sum (or mean) of all ranks' `input`. Its gradient is all-gathered. */
export function reduceScatter(
  input: Tensor,
  options: Options & { op?: "sum" | "avg"; dim?: number } = {},
): Tensor {
  const group = checkGroup("reduceScatter", options.group);
  const op = options.op ?? "sum";
  checkLinear("reduceScatter", op);
  checkReduceOp("reduceScatter", op, input.dtype);
  const dim = dimension("reduceScatter", input, options.dim ?? 0);
  if (input.shape[dim]! % group.size !== 0) {
    throw new UserError(
      `reduceScatter: dimension ${dim} of [${input.shape.join(", ")}] doesn't divide among the ${group.size} ranks of ${group.toString()}.`,
    );
  }
  const source = dim === 0 ? input : cat(input.chunk(group.size, dim), 0);
  return operators.reduceScatterDifferentiable(source, op, group.name, group.size);
}

/** Like `functional.allToAllSingle`. Its gradient takes the reverse all-to-all. */
export function allToAll(
  input: Tensor,
  options: Options & { outputSplits?: readonly number[]; inputSplits?: readonly number[] } = {},
): Tensor {
  const group = checkGroup("allToAll", options.group);
  dimension("allToAll", input, 0);
  const rows = input.shape[0]!;
  const inputSplits = checkSplits("allToAll", "inputSplits", options.inputSplits, rows, group);
  const outputRows = options.outputSplits?.reduce((a, b) => a + b, 0) ?? rows;
  const outputSplits = checkSplits("allToAll", "outputSplits", options.outputSplits, outputRows, group);
  return operators.allToAllDifferentiable(input, outputSplits, inputSplits, group.name);
}

/** The identity; its gradient is summed over the ranks. Used before a column-parallel layer. */
export function copyToRegion(input: Tensor, options: Options = {}): Tensor {
  return operators.copyToRegionOf(input, checkGroup("copyToRegion", options.group).name);
}

/** The sum of all ranks' `input`; its gradient passes unchanged. Used after a row-parallel layer. */
export function reduceFromRegion(input: Tensor, options: Options = {}): Tensor {
  return operators.reduceFromRegionOf(input, checkGroup("reduceFromRegion", options.group).name);
}
