// The operators of native/comm/operators.cc (namespace forge_comm) as functions, without checks or defaults. Those named
// start… return the id of a Work; the others wait and return a tensor.
import { call, type Tensor } from "../torch/index.ts";
import { recordCallSite } from "./flight-recorder.ts";

/** The group's name, and the timeout in milliseconds (-1: the group's). */
export interface Target {
  group: string;
  timeoutMs: number;
}

function start(name: string, ...args: [...unknown[], Target]): number {
  const to = args.pop() as Target;
  recordCallSite();
  return call<number>(`forge_comm::${name}`, ...args, to.group, to.timeoutMs);
}

export function startAllReduce(tensor: Tensor, op: string, to: Target): number {
  return start("all_reduce_", tensor, op, to);
}
export function startAllReduceCoalesced(tensors: readonly Tensor[], op: string, to: Target): number {
  return start("all_reduce_coalesced_", tensors, op, to);
}
export function startBroadcast(tensor: Tensor, src: number, to: Target): number {
  return start("broadcast_", tensor, src, to);
}
export function startReduce(tensor: Tensor, dst: number, op: string, to: Target): number {
  return start("reduce_", tensor, dst, op, to);
}
export function startAllGatherIntoTensor(output: Tensor, input: Tensor, to: Target): number {
  return start("all_gather_into_tensor_", output, input, to);
}
export function startAllGather(outputs: readonly Tensor[], input: Tensor, to: Target): number {
  return start("all_gather_", outputs, input, to);
}
export function startReduceScatterTensor(output: Tensor, input: Tensor, op: string, to: Target): number {
  return start("reduce_scatter_tensor_", output, input, op, to);
}
export function startAllToAllSingle(
  output: Tensor,
  input: Tensor,
  outputSplits: readonly number[],
  inputSplits: readonly number[],
  to: Target,
): number {
  return start("all_to_all_single_", output, input, outputSplits, inputSplits, to);
}
export function startAllToAll(outputs: readonly Tensor[], inputs: readonly Tensor[], to: Target): number {
  return start("all_to_all_", outputs, inputs, to);
}
export function startGather(outputs: readonly Tensor[], input: Tensor, dst: number, to: Target): number {
  return start("gather_", outputs, input, dst, to);
}
export function startScatter(output: Tensor, inputs: readonly Tensor[], src: number, to: Target): number {
  return start("scatter_", output, inputs, src, to);
}
export function startBarrier(to: Target): number {
  return start("barrier_", to);
}
export function startSend(tensor: Tensor, dst: number, tag: number, to: Target): number {
  return start("send_", tensor, dst, tag, to);
}
export function startReceive(tensor: Tensor, src: number, tag: number, to: Target): number {
  return start("recv_", tensor, src, tag, to);
}

export function allReduceDifferentiable(input: Tensor, op: string, group: string): Tensor {
  recordCallSite();
  return call("forge_comm::all_reduce", input, op, group);
}
export function copyToRegionOf(input: Tensor, group: string): Tensor {
  return call("forge_comm::copy_to_region", input, group);
}
export function reduceFromRegionOf(input: Tensor, group: string): Tensor {
  recordCallSite();
  return call("forge_comm::reduce_from_region", input, group);
}
export function allGatherDifferentiable(input: Tensor, group: string): Tensor {
  recordCallSite();
  return call("forge_comm::all_gather", input, group);
}
export function reduceScatterDifferentiable(input: Tensor, op: string, group: string, size: number): Tensor {
  recordCallSite();
  return call("forge_comm::reduce_scatter", input, op, group, size);
}
export function allToAllDifferentiable(
  input: Tensor,
  outputSplits: readonly number[],
  inputSplits: readonly number[],
  group: string,
): Tensor {
  recordCallSite();
  return call("forge_comm::all_to_all", input, outputSplits, inputSplits, group);
}
