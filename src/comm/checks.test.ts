import assert from "node:assert/strict";
import test from "node:test";

import { device, Tensor, zeros } from "../torch/index.ts";
import { checkSameType, checkTensor } from "./checks.ts";
import { ProcessGroup } from "./process-group.ts";

/** As much of a tensor on a device as the checks look at: this machine may not have the device. */
function onDevice(name: string): Tensor {
  return Object.create(Tensor.prototype, {
    device: { value: device(name) },
    isContiguous: { value: () => true },
  }) as Tensor;
}

const group = (backend: "gloo" | "nccl", deviceIndex: number): ProcessGroup =>
  new ProcessGroup("world", [0, 1], 1, 60, { backend, deviceIndex });

void test("tensors of another device than the process's are refused under NCCL", () => {
  for (const tensor of [onDevice("cuda:1"), zeros([2])])
    checkTensor("allReduce", "tensor", tensor, group("nccl", 1));
  assert.throws(() => checkTensor("allReduce", "tensor", onDevice("cuda:0"), group("nccl", 1)), {
    name: "UserError",
    message: "allReduce: tensor is on cuda:0: expected the CPU or cuda:1, this process's device.",
  });
  // Nobody has said which is this process's, or Gloo copies to the CPU.
  checkTensor("allReduce", "tensor", onDevice("cuda:0"), group("nccl", -1));
  checkTensor("allReduce", "tensor", onDevice("cuda:0"), group("gloo", 1));
  assert.throws(() => checkTensor("allReduce", "tensor", zeros([2], { device: "meta" }), group("nccl", -1)), {
    message: "allReduce: tensor is on meta: expected the CPU or a CUDA device.",
  });
});

void test("tensors of one call must be on one device", () => {
  assert.throws(() => checkSameType("broadcast", "output", onDevice("cuda:0"), "input", zeros([2])), {
    message: "broadcast: output is on cuda:0 and input on cpu; they must be on one device.",
  });
});
