// Tensors print as PyTorch prints them, character for character (fixtures/ops/make_fixtures.py).
import assert from "node:assert/strict";
import test from "node:test";
import { inspect } from "node:util";

import * as torch from "../../src/torch/index.ts";
import { fixture, restore, type Stored } from "../fixtures/ops/decode.ts";

interface Printed {
  tensor?: Stored;
  expression?: string;
  text: string;
}

function expressions(): Record<string, torch.Tensor> {
  const g = torch.fromArray([1, 2], { requiresGrad: true });
  const h = torch.fromArray(
    [
      [1, 2],
      [3, 4],
    ],
    { requiresGrad: true },
  );
  return {
    leaf: g,
    mul: g.mul(g),
    sum: g.sum(),
    matmul: h.matmul(h),
    linear: torch.linear(h, h, g),
    transpose: h.transpose(0, 1),
    softmax: h.softmax(1),
    long: torch
      .arange(20, { dtype: torch.float32 })
      .requiresGrad_()
      .mul(torch.ones([20]))
      .exp()
      .log(),
    double: g.to(torch.float64).mul(g.to(torch.float64)),
    inPlace: g.mul(g).add_(g),
    metaFloat: torch.empty([2, 3], { device: "meta" }),
    metaInt: torch.empty([2], { device: "meta", dtype: torch.int64 }),
    metaScalar: torch.empty([], { device: "meta" }),
  };
}

const stored = fixture<Printed>("printing.json");
for (const [i, one] of stored.entries()) {
  test(`${one.expression ?? `${one.tensor!.t}[${one.tensor!.s}]`} (${i})`, () => {
    using _ = torch.scope();
    const tensor = one.tensor ? restore(one.tensor) : expressions()[one.expression!]!;
    assert.equal(String(tensor), one.text);
  });
}

test("util.inspect, templates and a notebook's rich output show the same", () => {
  using _ = torch.scope();
  const x = torch.fromArray([1, 2.5]);
  const text = "tensor([1.0000, 2.5000])";
  assert.equal(inspect(x), text);
  assert.equal(`${x}`, text);
  const display = Reflect.get(x, Symbol.for("Jupyter.display")) as () => Record<string, string>;
  assert.deepEqual(display.call(x), { "text/plain": text });
});
