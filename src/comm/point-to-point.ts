// Messages between two ranks. Sends and receives of a pair are matched in order, per tag. `send` and `recv` block; `isend` and
// `irecv` return a Work, so that two ranks can exchange tensors without a deadlock.
import type { Tensor } from "../torch/index.ts";
import { UserError } from "../util/index.ts";
import { type CallOptions, complete, target } from "./call-options.ts";
import { checkTensor, checkPeer } from "./checks.ts";
import * as operators from "./operators.ts";
import type { Work } from "./work.ts";

type Options = Omit<CallOptions, "async"> & {
  /** Distinguishes messages between the same two ranks. Default 0. */
  tag?: number;
};

function startSend(call: string, tensor: Tensor, dst: number, options: Options): number {
  const { group, to } = target(call, options);
  checkTensor(call, "tensor", tensor, group);
  const peer = checkPeer(call, "dst", dst, group);
  if (peer === group.rank) throw new UserError(`${call}: dst: rank ${dst} can't send to itself.`);
  return operators.startSend(tensor, peer, checkTag(call, options.tag), to);
}

function startReceive(call: string, tensor: Tensor, src: number, options: Options): number {
  const { group, to } = target(call, options);
  checkTensor(call, "tensor", tensor, group);
  const peer = checkPeer(call, "src", src, group);
  if (peer === group.rank) throw new UserError(`${call}: src: rank ${src} can't receive from itself.`);
  return operators.startReceive(tensor, peer, checkTag(call, options.tag), to);
}

function checkTag(call: string, tag = 0): number {
  if (!Number.isInteger(tag) || tag < 0 || tag > 0x7fffffff) {
    throw new UserError(`${call}: tag: expected a whole number between 0 and 2147483647, found ${tag}.`);
  }
  return tag;
}

/** Sends to global rank `dst`; returns when the tensor may be changed again. */
export function send(tensor: Tensor, dst: number, options: Options = {}): void {
  complete(startSend("send", tensor, dst, options), { async: false }, () => undefined);
}

/** Receives from global rank `src` into the tensor, whose shape and dtype must be the sender's. Returns the tensor. */
export function recv(tensor: Tensor, src: number, options: Options = {}): Tensor {
  return complete(startReceive("recv", tensor, src, options), { async: false }, () => tensor);
}

/** `send` without waiting. */
export function isend(tensor: Tensor, dst: number, options: Options = {}): Work<void> {
  return complete(startSend("isend", tensor, dst, options), { async: true }, () => undefined);
}

/** `recv` without waiting. */
export function irecv(tensor: Tensor, src: number, options: Options = {}): Work<Tensor> {
  return complete(startReceive("irecv", tensor, src, options), { async: true }, () => tensor);
}
