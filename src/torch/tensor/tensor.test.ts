import assert from "node:assert/strict";
import test from "node:test";

import * as torch from "../index.ts";

test("operators, methods, in-place and autograd", () => {
  using _ = torch.scope();
  const x = torch.fromArray([
    [1, 2],
    [3, 4.5],
  ]);
  assert.deepEqual(x.add(1).tolist(), [
    [2, 3],
    [4, 5.5],
  ]);
  assert.equal(x.add_(x), x);
  assert.deepEqual(x.sum(1, { keepdim: true }).shape, [2, 1]);
  const w = torch.ones([2]).requiresGrad_();
  w.mul(x).sum().backward();
  assert.deepEqual(w.grad?.tolist(), [8, 13]);
});

test("an error of libtorch names the operator and the arguments", () => {
  using _ = torch.scope();
  assert.throws(
    () => torch.ones([2, 3]).mm(torch.ones([7, 5])),
    (error: unknown) =>
      error instanceof torch.TorchError &&
      error.message ===
        "mat1 and mat2 shapes cannot be multiplied (2x3 and 7x5)\n  in aten::mm(self: Float[2, 3], mat2: Float[7, 5])",
  );
});
