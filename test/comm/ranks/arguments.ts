// Mistakes in a call's arguments: told by name, before anything is sent, so that the ranks stay in step.
import assert from "node:assert/strict";

import {
  allGather,
  allGatherIntoTensor,
  allReduce,
  allReduceCoalesced,
  allToAll,
  allToAllSingle,
  barrier,
  broadcast,
  broadcastObject,
  destroyProcessGroup,
  functional,
  gather,
  irecv,
  type ReduceOp,
  reduceScatter,
  reduceScatterTensor,
  scatter,
  send,
} from "../../../src/comm/index.ts";
import { bool, call, float64, int16, int64, type Tensor, zeros } from "../../../src/torch/index.ts";
import { UserError } from "../../../src/util/index.ts";
import { check, joinWorld, leave, rank } from "../rank.ts";

const world = await joinWorld();
const other = 1 - rank;

const mistakes: [() => unknown, RegExp][] = [
  [
    () => allReduce(zeros([2]), { op: "mean" as ReduceOp }),
    /^allReduce: op: expected one of sum, avg, product, min, max, found "mean"\.$/,
  ],
  [() => allReduce([1, 2] as unknown as Tensor), /^allReduce: tensor: expected a Tensor, found an array\.$/],
  [
    () => allReduce(zeros([2], { dtype: int64 }), { op: "avg" }),
    /^allReduce: op "avg" needs a floating dtype, found int64; use "sum" and divide\.$/,
  ],
  [
    () => allReduce(zeros([2], { dtype: bool })),
    /^allReduce: op "sum" is not defined for bool; "max" is a logical or/,
  ],
  [
    () => allReduce(zeros([2], { dtype: int16 })),
    /^allReduce: dtype int16 can't be reduced among processes; convert the tensor to float32 first\.$/,
  ],
  [
    () => allReduce(zeros([2, 3]).t()),
    /^allReduce: tensor of shape \[3, 2\] is not contiguous \(strides \[1, 3\]\); use tensor\.contiguous\(\)\.$/,
  ],
  [
    () => allReduce(zeros([2]), { timeoutSeconds: 0 }),
    /^allReduce: timeoutSeconds: expected seconds above 0/,
  ],
  [
    () => allReduce(zeros([2], { device: "meta" })),
    /^allReduce: tensor is on meta: expected the CPU or a CUDA device\.$/,
  ],
  [
    () => allGather([zeros([2]), zeros([2], { device: "meta" })], zeros([2])),
    /^allGather: outputs\[1\] is on meta: expected the CPU or a CUDA device\.$/,
  ],
  [() => allReduceCoalesced([]), /^allReduceCoalesced: expected at least one tensor\.$/],
  [
    () => allReduceCoalesced([zeros([1]), zeros([1], { dtype: float64 })]),
    /^allReduceCoalesced: tensors\[1\] is float64 and tensors\[0\] is float32; they must be the same\.$/,
  ],
  [
    () => broadcast(zeros([2]), { src: 2 }),
    /^broadcast: src: rank 2 is not in group "world" \(ranks 0, 1\)\.$/,
  ],
  [
    () => allGatherIntoTensor(zeros([3]), zeros([2])),
    /^allGatherIntoTensor: output: expected 4 elements \(2 ranks x input's 2\), found 3 in shape \[3\]\.$/,
  ],
  [
    () => allGatherIntoTensor(zeros([4], { dtype: float64 }), zeros([2])),
    /^allGatherIntoTensor: output is float64 and input is float32/,
  ],
  [
    () => allGather([zeros([2])], zeros([2])),
    /^allGather: outputs: expected 2 tensors, one for each rank of group "world" \(ranks 0, 1\), found 1\.$/,
  ],
  [
    () => allGather([zeros([2]), zeros([3])], zeros([2])),
    /^allGather: outputs\[1\]: expected shape \[2\] \(as input\), found \[3\]\.$/,
  ],
  [
    () => reduceScatterTensor(zeros([2]), zeros([5])),
    /^reduceScatterTensor: input: expected 4 elements \(2 ranks x output's 2\), found 5 in shape \[5\]\.$/,
  ],
  [() => reduceScatter(zeros([2]), [zeros([2])]), /^reduceScatter: inputs: expected 2 tensors/],
  [
    () => functional.reduceScatterTensor(zeros([3, 2])),
    /^reduceScatterTensor: dimension 0 of \[3, 2\] doesn't divide among the 2 ranks of group "world"/,
  ],
  [
    () => functional.allGatherTensor(zeros([2]), { dim: 1 }),
    /^allGatherTensor: dim: expected a dimension of a tensor of shape \[2\], found 1\.$/,
  ],
  [
    () => allToAllSingle(zeros([3]), zeros([3])),
    /^allToAllSingle: 3 rows don't divide among the 2 ranks of the group; pass inputSplits\.$/,
  ],
  [
    () => allToAllSingle(zeros([4]), zeros([4]), { inputSplits: [2, 2] }),
    /^allToAllSingle: pass both outputSplits and inputSplits, or neither\.$/,
  ],
  [
    () => allToAllSingle(zeros([4]), zeros([4]), { inputSplits: [1, 2], outputSplits: [2, 2] }),
    /^allToAllSingle: inputSplits \[1, 2\] adds up to 3 rows, and the tensor has 4\.$/,
  ],
  [
    () => allToAllSingle(zeros([4]), zeros([4]), { inputSplits: [4], outputSplits: [2, 2] }),
    /^allToAllSingle: inputSplits: expected 2 sizes, one for each rank, found 1\.$/,
  ],
  [
    () => allToAllSingle(zeros([4]), zeros([4]), { inputSplits: [5, -1], outputSplits: [2, 2] }),
    /^allToAllSingle: inputSplits\[1\]: expected a whole number of 0 or more, found -1\.$/,
  ],
  [
    () => allToAllSingle(zeros([4]), zeros([4]), { inputSplits: [2, 2], outputSplits: [1, 3] }),
    /^allToAllSingle: what a rank keeps it also gets: inputSplits\[\d\] is 2 and outputSplits\[\d\] is [13]\.$/,
  ],
  [
    () => allToAllSingle(zeros([4, 3]), zeros([4, 2])),
    /^allToAllSingle: output: expected shape \[4, 2\] \(input's shape beyond the first dimension\), found \[4, 3\]\.$/,
  ],
  [() => allToAll([zeros([1]), zeros([1])], [zeros([1])]), /^allToAll: inputs: expected 2 tensors/],
  [() => gather(zeros([2]), { dst: rank }), /^gather: rank \d is dst and must pass outputs\.$/],
  [() => gather(zeros([2]), { dst: other, outputs: [] }), /^gather: only rank \d \(dst\) passes outputs\.$/],
  [
    () => scatter(zeros([2]), { src: rank, inputs: [zeros([2]), zeros([1])] }),
    /^scatter: inputs\[1\]: expected shape \[2\] \(as output\), found \[1\]\.$/,
  ],
  [() => send(zeros([2]), rank), /^send: dst: rank \d can't send to itself\.$/],
  [() => irecv(zeros([2]), 9), /^irecv: src: rank 9 is not in group "world"/],
  [
    () => irecv(zeros([2]), other, { tag: -1 }),
    /^irecv: tag: expected a whole number between 0 and 2147483647, found -1\.$/,
  ],
];
for (const [mistake, message] of mistakes) {
  await check(`refused: ${message.source.slice(1, 70)}`, () => {
    assert.throws(mistake, (error) => {
      assert.ok(error instanceof UserError, String(error));
      assert.match(error.message, message);
      return true;
    });
  });
}

// The operators themselves, past the checks in TypeScript: no input may crash the process or hang it.
const raw: [string, unknown[], RegExp][] = [
  [
    "all_reduce_",
    [zeros([2]), "sum", "nowhere"],
    /there is no process group named "nowhere" in this process/,
  ],
  [
    "all_reduce_",
    [zeros([2]), "median", "world"],
    /reduce operation must be sum, avg, product, min or max, got "median"/,
  ],
  ["all_reduce_coalesced_", [[], "sum", "world"], /expected at least one tensor/],
  ["all_gather_into_tensor_", [zeros([3]), zeros([2]), "world"], /output \[3\] is not 2 times input \[2\]/],
  [
    "reduce_scatter_tensor_",
    [zeros([2]), zeros([5]), "sum", "world"],
    /input \[5\] is not 2 times output \[2\]/,
  ],
  [
    "all_to_all_single_",
    [zeros([4]), zeros([4]), [5, -1], [2, 2], "world"],
    /split sizes \[5, -1\] don't fit 4 rows/,
  ],
  ["all_to_all_single_", [zeros([]), zeros([]), [], [], "world"], /needs tensors of at least one dimension/],
  ["all_to_all_", [[zeros([1])], [zeros([1])], "world"], /allToAll needs 2 inputs and outputs/],
  ["broadcast_", [zeros([2]), 99, "world"], /invalid root rank: 99/],
  ["send_", [zeros([2]), rank, 0, "world"], /send: no rank \d to talk to in group "world" of 2 ranks/],
  ["send_", [zeros([2]), -1, 0, "world"], /send: no rank -1/],
  ["recv_", [zeros([2]), 5, 0, "world"], /recv: no rank 5 to talk to/],
  ["recv_", [zeros([2]), other, -7, "world"], /recv: tag -7 is out of range/],
];
for (const [name, args, message] of raw) {
  await check(`operator refused: ${name} ${message.source.slice(0, 40)}`, () => {
    assert.throws(() => call(`forge_comm::${name}`, ...args), message);
  });
}

await check("a value that JSON can't hold", async () => {
  await assert.rejects(
    broadcastObject(undefined, { src: rank }),
    /^UserError: broadcastObject: expected a value that JSON can hold, found undefined\.$/,
  );
});

await check("the ranks are still in step", () => {
  barrier();
  const x = zeros([2]).add(1);
  allReduce(x, { group: world });
  assert.deepEqual(x.tolist(), [2, 2]);
});

await destroyProcessGroup();
leave();
