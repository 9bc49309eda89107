import assert from "node:assert/strict";
import test from "node:test";
import { setImmediate as turn } from "node:timers/promises";

import * as torch from "./index.ts";

const live = () => torch.memoryStats().liveTensors;

test("a scope releases what was made in it, and keeps what was kept", () => {
  const before = live();
  let kept: torch.Tensor;
  {
    using s = torch.scope();
    torch.zeros([1000, 1000]);
    kept = s.keep(torch.ones([3]));
  }
  assert.equal(live(), before + 1);
  assert.deepEqual(kept.tolist(), [1, 1, 1]);
  kept.dispose();
  assert.throws(() => kept.add(1), /add: argument 'self' is a tensor that was disposed of/);
});

test("nested scopes: keep moves a tensor into the scope around, one step for each keep", () => {
  const before = live();
  using outer = torch.scope();
  let one: torch.Tensor;
  {
    using inner = torch.scope();
    one = inner.keep(torch.ones([1]));
    torch.ones([2]);
  }
  assert.equal(live(), before + 1);
  outer[Symbol.dispose]();
  assert.equal(live(), before);
  assert.throws(() => one.item(), /disposed of/);
});

test("an outer scope's keep takes a tensor out of the scopes inside it", () => {
  let one: torch.Tensor;
  {
    using outer = torch.scope();
    {
      using _ = torch.scope();
      one = outer.keep(torch.ones([1]));
    }
    assert.equal(one.item(), 1);
  }
  assert.equal(one.item(), 1);
  one.dispose();
});

test("keeping what doesn't belong to the scope leaves it where it is", () => {
  const parameter = torch.ones([1]);
  {
    using _ = torch.scope();
    {
      using inner = torch.scope();
      inner.keep(parameter);
    }
  }
  assert.equal(parameter.item(), 1);
  parameter.dispose();
});

test("a scope that ends early takes those inside it along; ending twice does nothing", () => {
  const before = live();
  const outer = torch.scope();
  const inner = torch.scope();
  const one = torch.ones([1]);
  outer[Symbol.dispose]();
  assert.throws(() => one.item(), /disposed of/);
  inner[Symbol.dispose]();
  outer[Symbol.dispose]();
  assert.equal(live(), before);
  torch.ones([1]).dispose(); // belongs to no scope
  assert.equal(live(), before);
});

test("an exception ends the scope", () => {
  const before = live();
  assert.throws(() => {
    using _ = torch.scope();
    torch.ones([2]).mm(torch.ones([2]));
  }, torch.TorchError);
  assert.equal(live(), before);
});

test("a scope may stay open across await", async () => {
  const before = live();
  {
    using _ = torch.scope();
    const x = torch.ones([2]);
    await turn();
    assert.equal(x.add(1).sum().item(), 4);
  }
  assert.equal(live(), before);
});

test("scopes of two flows that cross end only their own tensors, and the process warns", async () => {
  const before = live();
  const warnings: Error[] = [];
  const collect = (warning: Error) => warnings.push(warning);
  process.on("warning", collect);
  let beginSecond!: () => void;
  let endFirst!: () => void;
  const firstBegan = new Promise<void>((done) => (beginSecond = done));
  const secondBegan = new Promise<void>((done) => (endFirst = done));
  const firstFlow = async () => {
    using _ = torch.scope();
    torch.ones([1]);
    beginSecond();
    await secondBegan;
  };
  const secondFlow = async (firstEnded: Promise<void>) => {
    await firstBegan;
    using _ = torch.scope();
    const x = torch.ones([1]);
    endFirst();
    await firstEnded;
    assert.equal(x.item(), 1);
  };
  const flow = firstFlow();
  await secondFlow(flow);
  await turn();
  process.off("warning", collect);
  assert.equal(live(), before);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!.message, /two asynchronous flows made tensors at the same time/);
});

test("debug mode says where a tensor was disposed of", () => {
  torch.setDebugMode(true);
  try {
    const x = torch.ones([1]);
    x.dispose();
    assert.throws(
      () => x.add(1),
      /add: argument 'self' is a tensor that was disposed of\. It was disposed of here:\n.*scope\.test\.ts/,
    );
    let y: torch.Tensor;
    {
      using _ = torch.scope();
      y = torch.ones([1]);
    }
    assert.throws(() => y.add(1), /It was disposed of here:\n.*scope\.test\.ts/);
  } finally {
    torch.setDebugMode(false);
  }
  const z = torch.ones([1]);
  z.dispose();
  assert.throws(
    () => z.add(1),
    /A tensor ends with its scope unless keep\(tensor\) moves it out\. setDebugMode\(true\) shows/,
  );
});
