import assert from "node:assert/strict";
import test from "node:test";

import * as torch from "./index.ts";

const leaf = (values: torch.NestedArray, dtype: torch.Dtype = torch.float32) =>
  torch.fromArray(values, { dtype, requiresGrad: true });

test("backward adds to .grad; it can be replaced and cleared", () => {
  using _ = torch.scope();
  const x = leaf([1, 2]);
  x.mul(x).sum().backward();
  assert.deepEqual(x.grad?.tolist(), [2, 4]);
  x.mul(3).sum().backward();
  assert.deepEqual(x.grad?.tolist(), [5, 7]);
  x.grad = torch.zeros([2]);
  x.mul(3).sum().backward();
  assert.deepEqual(x.grad?.tolist(), [3, 3]);
  x.grad = undefined;
  assert.equal(x.grad, undefined);
  assert.throws(() => (x.grad = torch.zeros([3])), /grad: expected shape \[2\], found \[3\]/);
  assert.throws(() => (x.grad = x), /a tensor can't be its own gradient/);
  assert.throws(() => (x.grad = 1 as never), /grad: expected a Tensor or undefined, found 1/);
});

test("grad: weights, unused inputs, wrong counts", () => {
  using _ = torch.scope();
  const x = leaf([1, 2]);
  const y = leaf([3, 4]);
  const [gx, gy] = torch.grad(x.mul(y), [x, y], torch.fromArray([1, 10]));
  assert.deepEqual(
    [gx?.tolist(), gy?.tolist()],
    [
      [3, 40],
      [1, 20],
    ],
  );
  assert.equal(x.grad, undefined);
  const [, unused] = torch.grad(x.sum(), [x, y], undefined, { allowUnused: true });
  assert.equal(unused, undefined);
  assert.throws(
    () => torch.grad(x.sum(), [y]),
    /of the differentiated Tensors appears to not have been used in the graph/,
  );
  assert.throws(() => torch.grad(x.mul(2), [x]), /grad can be implicitly created only for scalar outputs/);
  assert.throws(
    () => torch.grad(x.mul(2), [x], []),
    /expected as many gradOutputs as outputs \(1\), found 0/,
  );
  assert.throws(() => torch.grad([1 as never], [x]), /grad: argument 'outputs': expected a Tensor, found 1/);
});

test("a graph is freed by backward unless it is retained", () => {
  using _ = torch.scope();
  const x = leaf([1, 2]);
  const y = x.exp().sum();
  y.backward(undefined, { retainGraph: true });
  y.backward();
  assert.throws(() => y.backward(), /Trying to backward through the graph a second time/);
});

test("double backward", () => {
  using _ = torch.scope();
  const x = leaf([2, 3]);
  const [first] = torch.grad(x.pow(3).sum(), [x], undefined, { createGraph: true });
  const [second] = torch.grad(first!.sum(), [x]);
  assert.deepEqual(second?.tolist(), [12, 18]);
});

test("in-place changes are checked as libtorch checks them", () => {
  using _ = torch.scope();
  const x = leaf([1, 2]);
  assert.throws(() => x.add_(1), /a leaf Variable that requires grad is being used in an in-place operation/);
  torch.noGrad(() => x.add_(1));
  assert.equal(x.version, 1);
  const y = x.exp();
  const z = y.sum();
  y.mul_(2);
  assert.throws(
    () => z.backward() ?? y.sum().backward(),
    /one of the variables needed for gradient computation has been modified by an inplace operation/,
  );
});

test("modes: noGrad, enableGrad, inferenceMode, detach", () => {
  using _ = torch.scope();
  const x = leaf([1]);
  assert.equal(torch.noGrad(() => x.mul(2)).requiresGrad, false);
  {
    using _ = torch.noGrad();
    assert.equal(torch.isGradEnabled(), false);
    assert.equal(torch.enableGrad(() => x.mul(2)).requiresGrad, true);
  }
  assert.equal(torch.isGradEnabled(), true);
  const inferred = torch.inferenceMode(() => x.mul(2));
  assert.equal(inferred.isInference(), true);
  assert.throws(() => inferred.mul(x), /Inference tensors cannot be saved for backward/);
  assert.equal(x.mul(2).detach().requiresGrad, false);
  assert.throws(() => torch.noGrad(() => Promise.resolve()), /take a synchronous function/);
  assert.equal(torch.isGradEnabled(), true);
});

test("requiresGrad_ and retainGrad", () => {
  using _ = torch.scope();
  assert.throws(
    () => torch.ones([1], { dtype: torch.int64 }).requiresGrad_(),
    /only tensors of floating point and complex dtype can require gradients/,
  );
  const x = leaf([1]);
  const y = x.mul(2);
  assert.throws(() => y.requiresGrad_(false), /you can only change requiresGrad of leaf tensors/);
  y.retainGrad();
  y.mul(3).sum().backward();
  assert.deepEqual(y.grad?.tolist(), [3]);
  assert.equal(x.isLeaf, true);
  assert.equal(y.isLeaf, false);
});

test("memory of saved tensors is freed by backward, while the output lives", () => {
  using _ = torch.scope();
  const x = torch.randn([1024, 256], { requiresGrad: true });
  const before = torch.memoryStats().currentBytes;
  const make = () => {
    using inner = torch.scope();
    // exp saves its result: 1 MB that only the graph holds once the scope has ended.
    return inner.keep(x.exp().exp().sum());
  };
  const loss = make();
  const held = torch.memoryStats().currentBytes - before;
  assert(held > 2 * 1024 * 256 * 4, `${held}`);
  const [gradient] = torch.grad(loss, [x]);
  gradient!.dispose();
  const left = torch.memoryStats().currentBytes - before;
  assert(left < 64 * 1024, `${left} bytes are left`);
});

test("storage can be freed and come back while a graph holds the tensor (FSDP)", () => {
  using _ = torch.scope();
  const weight = torch.ones([4, 4]);
  const full = weight.mul(2).detach();
  const x = leaf([[1, 2, 3, 4]]);
  const y = torch.linear(x, full).sum();
  const bytes = full.storage.nbytes;
  assert.equal(bytes, 64);
  full.storage.resize_(0);
  assert.equal(full.storage.nbytes, 0);
  assert.throws(() => full.add(1), /this tensor has no memory: its storage was resized to 0 bytes/);
  assert.throws(
    () => full.storage.resize_(32),
    /a storage of 64 bytes can be resized to 0 or to at least as many bytes, not to 32/,
  );
  full.storage.resize_(bytes);
  assert.throws(
    () => full.fill_(3) && y.backward(undefined, { retainGraph: true }),
    /modified by an inplace operation/,
  );
  const z = torch.linear(x, full).sum();
  full.storage.resize_(0);
  full.storage.resize_(bytes);
  full.data.fill_(3); // what comes back are the same values: no change that autograd has to know of
  z.backward();
  assert.deepEqual(x.grad?.tolist(), [[12, 12, 12, 12]]);
});

test("gradcheck agrees with right gradients and finds wrong ones", () => {
  using _ = torch.scope();
  const x = leaf([[0.3, -0.7, 1.1]], torch.float64);
  const w = leaf(
    [
      [1, 2, 3],
      [0.5, 0.1, -1],
    ],
    torch.float64,
  );
  assert.equal(
    torch.gradcheck((a, b) => torch.gelu(torch.linear(a, b)), [x, w]),
    true,
  );
  assert.equal(
    torch.gradcheck((a) => torch.max(a, 1), [x]),
    true,
  );
  assert.throws(
    () => torch.gradcheck((a) => a.mul(a.detach()), [x]),
    /gradcheck: output 0, element 0, by input 0, element 0: expected 0\.[56]\d+ \(differences\), found 0\.3 \(backward\)/,
  );
  assert.throws(
    () => torch.gradcheck((a) => a, [leaf([1])]),
    /expected contiguous float64 leaves, found float32/,
  );
});
