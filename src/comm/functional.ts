// Collectives that return a new tensor, like torch.distributed._functional_collectives. Without gradients: those are in
// differentiable.ts.
import { cat, empty, noGrad, type Tensor } from "../torch/index.ts";
import { UserError } from "../util/index.ts";
import { type CallOptions, complete, type Result, target } from "./call-options.ts";
import { checkPeer, checkReduceOp, checkSplits } from "./checks.ts";
import type { ReduceOptions } from "./collectives.ts";
import * as operators from "./operators.ts";

/** All ranks' `input` reduced, on every rank. */
export function allReduce<const O extends ReduceOptions = ReduceOptions & { async?: false }>(
  input: Tensor,
  options: O = {} as O,
): Result<Tensor, O> {
  const { to } = target("allReduce", options);
  const op = options.op ?? "sum";
  checkReduceOp("allReduce", op, input.dtype);
  const output = copyOf(input);
  return complete(operators.startAllReduce(output, op, to), options, () => output);
}

/** Rank `src`'s `input`, on every rank. On the other ranks `input` only gives shape and dtype. */
export function broadcast<const O extends CallOptions & { src: number }>(
  input: Tensor,
  options: O,
): Result<Tensor, O> {
  const { group, to } = target("broadcast", options);
  const src = checkPeer("broadcast", "src", options.src, group);
  const output = copyOf(input);
  return complete(operators.startBroadcast(output, src, to), options, () => output);
}

/** All ranks' `input` [..., n, ...] concatenated along `dim` (default 0): [..., size * n, ...], in rank order. */
export function allGatherTensor<
  const O extends CallOptions & { dim?: number } = CallOptions & { async?: false },
>(input: Tensor, options: O = {} as O): Result<Tensor, O> {
  const { group, to } = target("allGatherTensor", options);
  const dim = dimension("allGatherTensor", input, (options as { dim?: number }).dim ?? 0);
  const source = noGrad(() => input.contiguous());
  const output = empty([group.size * input.shape[0]!, ...input.shape.slice(1)], like(input));
  return complete(operators.startAllGatherIntoTensor(output, source, to), options, () =>
    dim === 0 || group.size === 1 ? output : noGrad(() => cat(output.chunk(group.size, 0), dim)),
  );
}

/** All ranks' `input` reduced, of which this rank gets its chunk along `dim` (default 0): [..., n / size, ...]. */
export function reduceScatterTensor<
  const O extends ReduceOptions & { dim?: number } = ReduceOptions & { async?: false },
>(input: Tensor, options: O = {} as O): Result<Tensor, O> {
  const call = "reduceScatterTensor";
  const { group, to } = target(call, options);
  const op = options.op ?? "sum";
  checkReduceOp(call, op, input.dtype);
  const dim = dimension(call, input, (options as { dim?: number }).dim ?? 0);
  const rows = input.shape[dim]!;
  if (rows % group.size !== 0) {
    throw new UserError(
      `${call}: dimension ${dim} of [${input.shape.join(", ")}] doesn't divide among the ${group.size} ranks of ${group.toString()}.`,
    );
  }
  const source = noGrad(() => (dim === 0 ? input.contiguous() : cat(input.chunk(group.size, dim), 0)));
  const output = empty(input.shape.with(dim, rows / group.size), like(input));
  return complete(operators.startReduceScatterTensor(output, source, op, to), options, () => output);
}

/**
 * Sends consecutive rows of `input` to the ranks and returns the received rows, in rank order. Without split sizes, the rows
 * are split evenly.
 */
export function allToAllSingle<
  const O extends CallOptions & { outputSplits?: readonly number[]; inputSplits?: readonly number[] } =
    CallOptions & {
      async?: false;
    },
>(input: Tensor, options: O = {} as O): Result<Tensor, O> {
  const call = "allToAllSingle";
  const { group, to } = target(call, options);
  dimension(call, input, 0);
  const given: { outputSplits?: readonly number[]; inputSplits?: readonly number[] } = options;
  const inputSplits = checkSplits(call, "inputSplits", given.inputSplits, input.shape[0]!, group);
  const outputRows = given.outputSplits?.reduce((a, b) => a + b, 0) ?? input.shape[0]!;
  const outputSplits = checkSplits(call, "outputSplits", given.outputSplits, outputRows, group);
  const source = noGrad(() => input.contiguous());
  const output = empty([outputRows, ...input.shape.slice(1)], like(input));
  return complete(
    operators.startAllToAllSingle(output, source, outputSplits, inputSplits, to),
    options,
    () => output,
  );
}

function copyOf(input: Tensor): Tensor {
  return noGrad(() => input.detach().clone({ memoryFormat: "contiguous" }));
}

function like(input: Tensor) {
  return { dtype: input.dtype, device: input.device };
}

/** @internal */
export function dimension(call: string, input: Tensor, dim: number): number {
  const ndim = input.ndim;
  const found = dim < 0 ? dim + ndim : dim;
  if (!Number.isInteger(found) || found < 0 || found >= ndim) {
    throw new UserError(
      `${call}: dim: expected a dimension of a tensor of shape [${input.shape.join(", ")}], found ${dim}.`,
    );
  }
  return found;
}
