// What a CUDA device does for tensors: memory, random numbers, copies, errors. Run by `npm run test:cuda` where there is a GPU.
import assert from "node:assert/strict";
import test from "node:test";
import { inspect } from "node:util";

import * as torch from "../../src/torch/index.ts";

const mebibyte = 2 ** 20;

void test("memory of the device is counted, with its peak", () => {
  using _ = torch.scope();
  torch.resetPeakMemory("cuda");
  const before = torch.memoryStats("cuda");
  const kept = torch.zeros([4 * mebibyte], { device: "cuda" });
  torch.zeros([8 * mebibyte], { device: "cuda" }).dispose();
  for (const all of ["cuda", "cuda:0"]) torch.synchronize(all);
  const after = torch.memoryStats("cuda");
  assert.equal(after.currentBytes - before.currentBytes, kept.nbytes);
  assert.ok(after.peakBytes - before.currentBytes >= 48 * mebibyte, `peak ${after.peakBytes}`);
  torch.resetPeakMemory("cuda");
  assert.equal(torch.memoryStats("cuda").peakBytes, after.currentBytes);
});

void test("tensors go there and back, and say where they are", () => {
  using _ = torch.scope();
  const x = torch.fromArray([
    [1, 2.5],
    [3, -4],
  ]);
  const there = x.to("cuda");
  assert.equal(String(there.device), "cuda:0");
  assert.match(inspect(there), /device='cuda:0'/);
  assert.deepEqual(there.mul(2).tolist(), [
    [2, 5],
    [6, -8],
  ]);
  assert.deepEqual([...(there.toTypedArray() as Float32Array)], [1, 2.5, 3, -4]);
  assert.equal(there.sum().item(), 2.5);
  const pinned = torch.empty([2, 2], { pinMemory: true });
  pinned.copy_(there);
  assert.deepEqual(pinned.tolist(), x.tolist());
});

void test("the generator's state comes back", () => {
  using _ = torch.scope();
  torch.manualSeed(5);
  const generator = torch.defaultGenerator("cuda");
  const state = generator.getState();
  const first = torch.rand([16], { device: "cuda" }).tolist();
  generator.setState(state);
  assert.deepEqual(torch.rand([16], { device: "cuda" }).tolist(), first);
  const own = new torch.Generator("cuda").manualSeed(3);
  const drawn = torch.rand([4], { device: "cuda", generator: own }).tolist();
  assert.deepEqual(torch.rand([4], { device: "cuda", generator: own.manualSeed(3) }).tolist(), drawn);
});

void test("too much memory, tensors of two devices and a device that isn't there are errors", () => {
  using _ = torch.scope();
  assert.throws(() => torch.empty([2 ** 45], { device: "cuda" }), /out of memory|allocate/i);
  assert.throws(() => torch.ones([2], { device: "cuda" }).add(torch.ones([2])), /device/);
  assert.throws(() => torch.setDevice("cuda:99"), /no cuda:99/);
  assert.equal(torch.ones([2], { device: "cuda" }).sum().item(), 2);
});

void test("autograd runs on the device, and a scope frees what it made there", () => {
  const once = (): void => {
    using _ = torch.scope();
    const w = torch.randn([64, 64], { device: "cuda" }).requiresGrad_();
    const x = torch.randn([8, 64], { device: "cuda" });
    x.matmul(w).relu().sum().backward();
    const expected = x.t().cpu().matmul(x.cpu().matmul(w.detach().cpu()).gt(0).to(torch.float32));
    assert.ok(torch.allclose(w.grad!.cpu(), expected, 1e-4, 1e-4));
    w.grad = undefined;
  };
  once(); // cuBLAS keeps its workspace
  const before = torch.memoryStats("cuda").currentBytes;
  once();
  assert.equal(torch.memoryStats("cuda").currentBytes, before);
});
