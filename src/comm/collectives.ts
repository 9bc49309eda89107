// The collectives of torch.distributed, which write into the caller's tensors. Every member of the group must call the same
// ones in the same order. `src` and `dst` are global ranks. functional.ts has variants that return new tensors,
// differentiable.ts those with gradients.
import { cat, noGrad, type Tensor } from "../torch/index.ts";
import { UserError } from "../util/index.ts";
import { type CallOptions, complete, type Result, target } from "./call-options.ts";
import {
  checkTensor,
  checkEqualList,
  checkList,
  checkNumel,
  checkPeer,
  checkReduceOp,
  checkSameType,
  checkShape,
  checkSplits,
  type ReduceOp,
} from "./checks.ts";
import * as operators from "./operators.ts";
import type { ProcessGroup } from "./process-group.ts";

export interface ReduceOptions extends CallOptions {
  /** Default `sum`. `avg` needs a floating-point dtype. */
  op?: ReduceOp;
}

function checkReducible(call: string, tensor: Tensor, op: ReduceOp, group: ProcessGroup): void {
  checkTensor(call, "tensor", tensor, group);
  checkReduceOp(call, op, tensor.dtype);
}

/** Reduces all ranks' `tensor` in place, on every rank. Any shape, the same on all ranks. Returns `tensor`. */
export function allReduce<const O extends ReduceOptions = ReduceOptions & { async?: false }>(
  tensor: Tensor,
  options: O = {} as O,
): Result<Tensor, O> {
  const { group, to } = target("allReduce", options);
  const op = options.op ?? "sum";
  checkReducible("allReduce", tensor, op, group);
  return complete(operators.startAllReduce(tensor, op, to), options, () => tensor);
}

/** `allReduce` of many tensors of one dtype in a single message: much cheaper than one call per small tensor. */
export function allReduceCoalesced<const O extends ReduceOptions = ReduceOptions & { async?: false }>(
  tensors: readonly Tensor[],
  options: O = {} as O,
): Result<readonly Tensor[], O> {
  const { group, to } = target("allReduceCoalesced", options);
  const op = options.op ?? "sum";
  const first = tensors[0];
  if (first === undefined) throw new UserError("allReduceCoalesced: expected at least one tensor.");
  for (const [i, tensor] of tensors.entries()) {
    checkTensor("allReduceCoalesced", `tensors[${i}]`, tensor, group);
    checkSameType("allReduceCoalesced", `tensors[${i}]`, tensor, "tensors[0]", first);
  }
  checkReduceOp("allReduceCoalesced", op, first.dtype);
  return complete(operators.startAllReduceCoalesced(tensors, op, to), options, () => tensors);
}

/** Copies rank `src`'s `tensor` into every rank's. Returns `tensor`. */
export function broadcast<const O extends CallOptions & { src: number }>(
  tensor: Tensor,
  options: O,
): Result<Tensor, O> {
  const { group, to } = target("broadcast", options);
  checkTensor("broadcast", "tensor", tensor, group);
  const src = checkPeer("broadcast", "src", options.src, group);
  return complete(operators.startBroadcast(tensor, src, to), options, () => tensor);
}

/** Reduces all ranks' `tensor` into rank `dst`'s; on the other ranks its content is undefined afterwards. */
export function reduce<const O extends ReduceOptions & { dst: number }>(
  tensor: Tensor,
  options: O,
): Result<Tensor, O> {
  const { group, to } = target("reduce", options);
  const op = options.op ?? "sum";
  checkReducible("reduce", tensor, op, group);
  const dst = checkPeer("reduce", "dst", options.dst, group);
  return complete(operators.startReduce(tensor, dst, op, to), options, () => tensor);
}

/** Fills `output` [size * n, ...] with all ranks' `input` [n, ...], in rank order. Returns `output`. */
export function allGatherIntoTensor<const O extends CallOptions = CallOptions & { async?: false }>(
  output: Tensor,
  input: Tensor,
  options: O = {} as O,
): Result<Tensor, O> {
  const call = "allGatherIntoTensor";
  const { group, to } = target(call, options);
  checkPair(call, output, input, group);
  checkNumel(
    call,
    "output",
    output,
    input.numel() * group.size,
    `${group.size} ranks x input's ${input.numel()}`,
  );
  return complete(operators.startAllGatherIntoTensor(output, input, to), options, () => output);
}

/** Fills `outputs`, one per rank, each of `input`'s shape, with all ranks' `input`. Returns `outputs`. */
export function allGather<const O extends CallOptions = CallOptions & { async?: false }>(
  outputs: readonly Tensor[],
  input: Tensor,
  options: O = {} as O,
): Result<readonly Tensor[], O> {
  const { group, to } = target("allGather", options);
  checkTensor("allGather", "input", input, group);
  checkEqualList("allGather", "outputs", outputs, group, "input", input);
  return complete(operators.startAllGather(outputs, input, to), options, () => outputs);
}

/**
 * Reduces all ranks' `input` [size * n, ...] and fills `output` [n, ...] with this rank's chunk. Returns `output`. On the CPU,
 * chunks are added in rank order; float16 and bfloat16 are added in float32 and rounded once.
 */
export function reduceScatterTensor<const O extends ReduceOptions = ReduceOptions & { async?: false }>(
  output: Tensor,
  input: Tensor,
  options: O = {} as O,
): Result<Tensor, O> {
  const call = "reduceScatterTensor";
  const { group, to } = target(call, options);
  const op = options.op ?? "sum";
  checkPair(call, output, input, group);
  checkReduceOp(call, op, input.dtype);
  checkNumel(
    call,
    "input",
    input,
    output.numel() * group.size,
    `${group.size} ranks x output's ${output.numel()}`,
  );
  return complete(operators.startReduceScatterTensor(output, input, op, to), options, () => output);
}

/** Like `reduceScatterTensor`, with the chunks as a list: one per rank, each of `output`'s shape. Returns `output`. */
export function reduceScatter<const O extends ReduceOptions = ReduceOptions & { async?: false }>(
  output: Tensor,
  inputs: readonly Tensor[],
  options: O = {} as O,
): Result<Tensor, O> {
  const call = "reduceScatter";
  const { group, to } = target(call, options);
  const op = options.op ?? "sum";
  checkTensor(call, "output", output, group);
  checkEqualList(call, "inputs", inputs, group, "output", output);
  checkReduceOp(call, op, output.dtype);
  const input = noGrad(() => cat(inputs.map((part) => part.reshape([-1]))));
  const work = operators.startReduceScatterTensor(output, input, op, to);
  input.dispose(); // the native call holds its own reference
  return complete(work, options, () => output);
}

/**
 * Sends consecutive rows of `input` to the ranks and fills `output` with the received rows, in rank order. Without split
 * sizes, the rows are split evenly. `outputSplits[r]` must equal `inputSplits[this rank]` of rank r. Returns `output`.
 */
export function allToAllSingle<
  const O extends CallOptions & { outputSplits?: readonly number[]; inputSplits?: readonly number[] } =
    CallOptions & {
      async?: false;
    },
>(output: Tensor, input: Tensor, options: O = {} as O): Result<Tensor, O> {
  const call = "allToAllSingle";
  const { group, to } = target(call, options);
  checkPair(call, output, input, group);
  if (input.ndim === 0 || output.ndim === 0)
    throw new UserError(`${call}: expected tensors of at least one dimension.`);
  checkShape(
    call,
    "output",
    output,
    [output.shape[0]!, ...input.shape.slice(1)],
    "input's shape beyond the first dimension",
  );
  const given: { outputSplits?: readonly number[]; inputSplits?: readonly number[] } = options;
  if ((given.outputSplits === undefined) !== (given.inputSplits === undefined)) {
    throw new UserError(`${call}: pass both outputSplits and inputSplits, or neither.`);
  }
  if (given.outputSplits === undefined)
    checkShape(call, "output", output, input.shape, "as input, for equal parts");
  const inputSplits = checkSplits(call, "inputSplits", given.inputSplits, input.shape[0]!, group);
  const outputSplits = checkSplits(call, "outputSplits", given.outputSplits, output.shape[0]!, group);
  const [sent, received] = [inputSplits[group.rank], outputSplits[group.rank]];
  if (sent !== received) {
    throw new UserError(
      `${call}: what a rank keeps it also gets: inputSplits[${group.rank}] is ${sent} and outputSplits[${group.rank}] is ${received}.`,
    );
  }
  return complete(
    operators.startAllToAllSingle(output, input, outputSplits, inputSplits, to),
    options,
    () => output,
  );
}

/** Sends `inputs[r]` to rank r and fills `outputs[r]` with what rank r sent. Returns `outputs`. */
export function allToAll<const O extends CallOptions = CallOptions & { async?: false }>(
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  options: O = {} as O,
): Result<readonly Tensor[], O> {
  const { group, to } = target("allToAll", options);
  checkPairOfLists("allToAll", outputs, inputs, group);
  return complete(operators.startAllToAll(outputs, inputs, to), options, () => outputs);
}

/** Fills rank `dst`'s `outputs`, one per rank, with all ranks' `input`. The other ranks pass no outputs. */
export function gather<const O extends CallOptions & { dst: number; outputs?: readonly Tensor[] }>(
  input: Tensor,
  options: O,
): Result<readonly Tensor[] | undefined, O> {
  const { group, to } = target("gather", options);
  const dst = checkPeer("gather", "dst", options.dst, group);
  const outputs = atRoot("gather", "outputs", options.outputs, "dst", dst, group);
  checkTensor("gather", "input", input, group);
  if (outputs) checkEqualList("gather", "outputs", outputs, group, "input", input);
  return complete(operators.startGather(outputs ?? [], input, dst, to), options, () => outputs);
}

/** Fills `output` with this rank's element of rank `src`'s `inputs`. The other ranks pass no inputs. Returns `output`. */
export function scatter<const O extends CallOptions & { src: number; inputs?: readonly Tensor[] }>(
  output: Tensor,
  options: O,
): Result<Tensor, O> {
  const { group, to } = target("scatter", options);
  const src = checkPeer("scatter", "src", options.src, group);
  const inputs = atRoot("scatter", "inputs", options.inputs, "src", src, group);
  checkTensor("scatter", "output", output, group);
  if (inputs) checkEqualList("scatter", "inputs", inputs, group, "output", output);
  return complete(operators.startScatter(output, inputs ?? [], src, to), options, () => output);
}

/** Returns when every rank of the group has called it. */
export function barrier<const O extends CallOptions = CallOptions & { async?: false }>(
  options: O = {} as O,
): Result<void, O> {
  const { to } = target("barrier", options);
  return complete(operators.startBarrier(to), options, () => undefined);
}

function checkPair(call: string, output: Tensor, input: Tensor, group: ProcessGroup): void {
  checkTensor(call, "input", input, group);
  checkTensor(call, "output", output, group);
  checkSameType(call, "output", output, "input", input);
}

function checkPairOfLists(
  call: string,
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  group: ProcessGroup,
): void {
  const like = inputs[0];
  if (like === undefined) throw new UserError(`${call}: inputs: expected ${group.size} tensors, found 0.`);
  checkList(call, "inputs", inputs, group, "inputs[0]", like);
  checkList(call, "outputs", outputs, group, "inputs[0]", like);
}

/** Checks that the root, and only the root, passes the list. */
function atRoot(
  call: string,
  name: string,
  list: readonly Tensor[] | undefined,
  rootName: string,
  root: number,
  group: ProcessGroup,
): readonly Tensor[] | undefined {
  if (group.rank === root) {
    if (list === undefined)
      throw new UserError(`${call}: rank ${group.globalRank} is ${rootName} and must pass ${name}.`);
    return list;
  }
  if (list !== undefined)
    throw new UserError(`${call}: only rank ${group.ranks[root]} (${rootName}) passes ${name}.`);
  return undefined;
}
