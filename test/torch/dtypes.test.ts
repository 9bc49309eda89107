// dtypes, typed arrays with and without a copy, storage, views, devices.
import assert from "node:assert/strict";
import test from "node:test";

import * as torch from "../../src/torch/index.ts";
import { dtypeOf, fixture, flat } from "../fixtures/ops/decode.ts";

test("conversions between dtypes give PyTorch's values", () => {
  const source = [0, 1, 2.5, 3.75, 17, 100, 0.1];
  for (const { from, to, out } of fixture<{ from: string; to: string; out: (number | boolean)[] }>(
    "conversions.json",
  )) {
    using _ = torch.scope();
    const made = torch.fromArray(source, { dtype: torch.float64 }).to(dtypeOf(from)).to(dtypeOf(to));
    assert.equal(made.dtype.name, to);
    // Nine digits are stored: a float32 exactly, in its own precision.
    assert.deepEqual(
      flat(made).map(Math.fround),
      out.map((one) => Math.fround(Number(one))),
      `${from} to ${to}`,
    );
  }
});

test("numbers become float32, bigints int64, booleans bool; dtype says otherwise", () => {
  using _ = torch.scope();
  assert.equal(torch.fromArray([1, 2]).dtype, torch.float32);
  assert.equal(torch.fromArray([1n]).dtype, torch.int64);
  assert.equal(torch.fromArray([[true]]).dtype, torch.bool);
  assert.equal(torch.fromArray(1).ndim, 0);
  assert.equal(torch.full([2], 1).dtype, torch.float32);
  assert.equal(torch.full([2], 1n).dtype, torch.int64);
  assert.equal(torch.arange(3).dtype, torch.int64);
  assert.equal(torch.arange(0.5, 3).dtype, torch.float32);
  assert.equal(torch.fromArray([1.9, -1.9], { dtype: torch.int32 }).tolist().toString(), "1,-1");
  assert.equal(torch.fromArray([2n ** 60n]).item<bigint>(), 2n ** 60n);
  assert.throws(() => torch.fromArray([1, 2n] as never), /fromArray: expected only numbers, found 2n/);
  assert.throws(
    () => torch.fromArray([[1], [1, 2]]),
    /expected 1 entries at depth 1, found 2: the arrays must be of equal length/,
  );
  assert.throws(() => torch.fromArray([2n ** 64n]), /expected 64-bit integers/);
});

test("typed arrays are copied, or shared where the caller says so", () => {
  using _ = torch.scope();
  const data = new Float32Array([1, 2, 3, 4]);
  const copy = torch.fromTypedArray(data, [2, 2]);
  const shared = torch.fromTypedArray(data, [2, 2], { copy: false });
  data[0] = 9;
  assert.deepEqual(copy.tolist(), [
    [1, 2],
    [3, 4],
  ]);
  assert.deepEqual(shared.tolist(), [
    [9, 2],
    [3, 4],
  ]);
  shared.mul_(2);
  assert.deepEqual([...data], [18, 4, 6, 8]);
  assert.throws(
    () => torch.fromTypedArray(data, [3]),
    /shape \[3\] of Float needs 12 bytes, the data has 16/,
  );
  assert.throws(() => torch.fromTypedArray([1] as never), /data: expected a typed array, found \[1\]/);
  assert.throws(() => torch.fromTypedArray(data, [-1]), /shape: expected whole numbers from 0 on/);
});

test("toTypedArray shares contiguous memory, and then the storage stays where it is", () => {
  using _ = torch.scope();
  const x = torch.zeros([3]);
  const view = x.toTypedArray() as Float32Array;
  x.add_(1);
  assert.deepEqual([...view], [1, 1, 1]);
  view[0] = 5;
  assert.deepEqual(x.tolist(), [5, 1, 1]);
  assert.throws(() => x.storage.resize_(0), /its memory is shared with JavaScript/);
  assert.throws(() => x.resize_([100]), /not resizable/);
  const copied = x.toTypedArray({ copy: true }) as Float32Array;
  copied[0] = 0;
  assert.equal(x.index([0]).item(), 5);
  const columns = torch.arange(6).reshape([2, 3]).t().toTypedArray() as BigInt64Array;
  assert.deepEqual([...columns], [0n, 3n, 1n, 4n, 2n, 5n]);
  assert.throws(
    () => torch.ones([1], { requiresGrad: true }).toTypedArray(),
    /requires gradients; take detach\(\) first/,
  );
});

test("the array of a tensor outlives the tensor", () => {
  let array: Float32Array;
  {
    using _ = torch.scope();
    array = torch.full([1000], 7).toTypedArray() as Float32Array;
  }
  {
    using _ = torch.scope();
    for (let i = 0; i < 100; i++) torch.full([1000], i);
  }
  assert(array.every((value) => value === 7));
});

test("bfloat16 and float8 are stored, shown as bits, and read as numbers", () => {
  using _ = torch.scope();
  const x = torch.fromArray([1, -2.5, 0.1]).to(torch.bfloat16);
  assert.deepEqual([...(x.toTypedArray() as Uint16Array)], [0x3f80, 0xc020, 0x3dcd]);
  assert.deepEqual(x.tolist(), [1, -2.5, 0.10009765625]);
  const eight = torch.fromArray([1, 448, 0.3]).to(torch.float8E4m3fn);
  assert.equal(eight.itemsize, 1);
  assert.deepEqual(eight.tolist(), [1, 448, 0.3125]);
  const back = torch.fromTypedArray(eight.toTypedArray(), [3], { dtype: torch.float8E4m3fn });
  assert.deepEqual(back.tolist(), [1, 448, 0.3125]);
});

test("complex numbers go through viewAsReal", () => {
  using _ = torch.scope();
  const z = torch.viewAsComplex(
    torch.fromArray([
      [1, 2],
      [3, -4],
    ]),
  );
  assert.equal(z.dtype, torch.complex64);
  assert.deepEqual(torch.viewAsReal(z.mul(z)).tolist(), [
    [-3, 4],
    [-7, -24],
  ]);
  assert.throws(() => z.toTypedArray(), /no typed array has complex64 elements; take viewAsReal\(\) first/);
});

test("views share storage; strides, offsets and contiguity are libtorch's", () => {
  using _ = torch.scope();
  const x = torch.arange(6).reshape([2, 3]);
  const y = x.t();
  assert.deepEqual([y.shape, y.stride(), y.isContiguous(), x.isContiguous()], [[3, 2], [1, 3], false, true]);
  assert.equal(y.storage.id, x.storage.id);
  assert.equal(x.narrow(1, 1, 2).storageOffset(), 1);
  assert.deepEqual([x.size(-1), x.stride(0), x.numel(), x.nbytes], [3, 3, 6, 48]);
  assert.throws(() => x.size(2), /size: dimension 2 of a tensor of 2 dimensions/);
  assert.throws(() => y.view([6]), /view size is not compatible/);
});

test("meta tensors have shapes and no values", () => {
  using _ = torch.scope();
  const x = torch.empty([1000, 1000, 1000], { device: "meta" });
  const y = x.matmul(torch.empty([1000, 10], { device: "meta" }));
  assert.deepEqual(y.shape, [1000, 1000, 10]);
  assert.equal(y.device, torch.device("meta"));
  assert.throws(() => y.item(), torch.TorchError);
});

test("an unknown device or dtype says what there is", () => {
  assert.throws(() => torch.device("gpu"), /device: expected one of cpu, cuda, .* found "gpu"/);
  assert.throws(
    () => torch.ones([1], { dtype: "float32" as never }),
    /ones: argument 'dtype': expected a dtype such as float32, found "float32"/,
  );
  assert.equal(torch.device("cuda:1").index, 1);
  if (torch.info().deviceCount === 0)
    assert.throws(() => torch.ones([1], { device: "cuda" }), torch.TorchError);
});

test("an operator without a kernel for the backend says so in one line", () => {
  using _ = torch.scope();
  assert.throws(() => torch.eye(2).toSparse().cumsum(0), {
    name: "TorchError",
    message:
      /^Could not run aten::cumsum.* with tensors of the SparseCPU backend: this libtorch has no kernel for it \(`npx torchforge doctor` shows its devices\)\n {2}in aten::cumsum\(self: Float\[2, 2\], dim: 0\)$/,
  });
});
