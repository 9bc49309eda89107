// A seed gives PyTorch's numbers (fixtures/ops/make_fixtures.py), and a state that was saved goes on exactly.
import assert from "node:assert/strict";
import test from "node:test";

import * as torch from "../../src/torch/index.ts";
import { assertSame, fixture, type Stored } from "../fixtures/ops/decode.ts";

const draws: Record<string, () => torch.Tensor> = {
  randn: () => torch.randn([5]),
  randnLong: () => torch.randn([20]),
  randnDouble: () => torch.randn([3], { dtype: torch.float64 }),
  rand: () => torch.rand([5]),
  randint: () => torch.randint(0, 100, [6]),
  randperm: () => torch.randperm(8),
  multinomial: () => torch.multinomial(torch.fromArray([0.1, 0.2, 0.7]), 2),
  multinomialReplaced: () => torch.multinomial(torch.fromArray([0.1, 0.2, 0.7]), 6, true),
  dropout: () => torch.dropout(torch.ones([12]), 0.4, true),
  bernoulli: () => torch.bernoulli(torch.full([8], 0.3)),
  normal: () => torch.empty([4]).normal_(1, 2),
  uniform: () => torch.empty([4]).uniform_(-1, 1),
  exponential: () => torch.empty([4]).exponential_(),
};

for (const { seed, draw, out } of fixture<{ seed: number; draw: string; out: Stored }>("random.json")) {
  test(`${draw} with seed ${seed}`, () => {
    using _ = torch.scope();
    torch.manualSeed(seed);
    assertSame(draws[draw]!(), out, draw, 1e-6);
  });
}

test("the state goes on exactly where it was", () => {
  using _ = torch.scope();
  torch.manualSeed(7);
  torch.randn([3]); // an odd number: half of a pair of normal numbers is left
  const state = torch.getRngState();
  assert.equal(state.dtype, torch.uint8);
  const first = [torch.randn([3]), torch.rand([2]), torch.randperm(5)].map((one) => one.tolist());
  torch.setRngState(state);
  const again = [torch.randn([3]), torch.rand([2]), torch.randperm(5)].map((one) => one.tolist());
  assert.deepEqual(again, first);
});

test("a generator of one's own has its own stream", () => {
  using _ = torch.scope();
  const mine = new torch.Generator().manualSeed(3);
  torch.manualSeed(3);
  const expected = torch.rand([4]).tolist();
  torch.manualSeed(99);
  assert.deepEqual(torch.rand([4], { generator: mine }).tolist(), expected);
  const state = mine.getState();
  const next = torch.rand([2], { generator: mine }).tolist();
  mine.setState(state);
  assert.deepEqual(torch.rand([2], { generator: mine }).tolist(), next);
});

test("seeds of 64 bits, and what is refused", () => {
  using _ = torch.scope();
  torch.manualSeed(2n ** 62n);
  torch.manualSeed(-1);
  assert.throws(
    () => torch.manualSeed(1.5),
    /manualSeed: argument 'seed': expected a whole number, found 1\.5/,
  );
  assert.throws(() => torch.manualSeed("a" as never), /argument 'seed': expected a whole number, found "a"/);
  assert.throws(
    () => torch.setRngState(torch.ones([3])),
    /Expected a ByteTensor|RNG state must be a torch\.ByteTensor/i,
  );
  assert.throws(
    () => torch.setRngState(3 as never),
    /setState: argument 'state': expected a Tensor, found 3/,
  );
  assert.throws(() => new torch.Generator("cuda"), torch.TorchError);
});
