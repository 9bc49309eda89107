// x.index and indexPut_ against PyTorch's brackets (fixtures/ops/make_fixtures.py), and what is refused.
import assert from "node:assert/strict";
import test from "node:test";

import * as torch from "../../src/torch/index.ts";
import { assertSame, fixture, isStored, restore, type Stored } from "../fixtures/ops/decode.ts";

type Entry = number | null | "..." | number[] | Stored | { slice: (number | null)[] };
interface Case {
  index?: Entry[];
  out: Stored;
  put: Stored;
  assign: Stored;
  accumulate?: Stored;
}

const base = () => torch.arange(24).reshape([2, 3, 4]);

function decode(entry: Entry): torch.Index {
  if (isStored(entry)) return restore(entry);
  if (typeof entry === "object" && entry !== null && !Array.isArray(entry) && "slice" in entry) {
    const [start, stop, step] = entry.slice;
    return torch.slice(start, stop, step ?? 1);
  }
  return entry;
}

for (const one of fixture<Case>("indexing.json")) {
  if (!one.index) continue;
  const spec = one.index;
  test(`[${spec.map((entry) => JSON.stringify(isStored(entry) ? `${entry.t}[${entry.s}]` : entry)).join(", ")}]`, () => {
    using _ = torch.scope();
    const index = spec.map(decode);
    assertSame(base().index(index), one.out, "read");
    assertSame(base().indexPut_(index, -1), one.put, "put a number");
    const values = torch
      .arange(one.out.s.reduce((a, b) => a * b, 1))
      .reshape(one.out.s)
      .mul(10)
      .add(1000);
    assertSame(base().indexPut_(index, values), one.assign, "put a tensor");
  });
}

test("indexPut_ with accumulate adds twice where an index stands twice", () => {
  using _ = torch.scope();
  const { accumulate } = fixture<Case>("indexing.json").at(-1)!;
  const values = torch.fromArray([[100n], [200n], [300n]]);
  assertSame(
    base().indexPut_(
      [
        [0, 0, 1],
        [1, 1, 2],
      ],
      values,
      { accumulate: true },
    ),
    accumulate!,
    "accumulate",
  );
});

test("whole numbers and slices give views, masks and index tensors copies", () => {
  using _ = torch.scope();
  const x = base();
  x.index([0, torch.slice(1)]).fill_(-1);
  assert.equal(x.index([0, 1, 0]).item(), -1);
  x.index([[0]]).fill_(-2);
  assert.equal(x.index([0, 0, 0]).item(), 0);
});

test("gradients flow through indexing", () => {
  using _ = torch.scope();
  const x = torch.ones([3, 2], { requiresGrad: true });
  x.index([[0, 0, 2], 1])
    .sum()
    .backward();
  assert.deepEqual(x.grad?.tolist(), [
    [0, 2],
    [0, 0],
    [0, 1],
  ]);
});

test("what can't index says so", () => {
  using _ = torch.scope();
  const x = base();
  const refused: [torch.Index[], RegExp][] = [
    [[0, 0, 0, 0], /index: too many indices: 4 for a tensor of 3 dimensions/],
    [["...", "..."], /"\.\.\." may stand once/],
    [[1.5], /expected a whole number, found 1\.5/],
    [[true], /true and false don't index; use null for a new dimension/],
    [[2], /index 2 out of range for tensor of size \[2, 3, 4\] at dimension 0/],
    [[[5]], /index 5 is out of bounds for dimension 0 with size 2/],
    [
      ["q" as never],
      /expected a whole number, slice\(\), null, "\.\.\.", a Tensor or an array of whole numbers; found "q"/,
    ],
  ];
  for (const [index, message] of refused) assert.throws(() => x.index(index), message);
  assert.throws(
    () => torch.slice(0, 1, -1),
    /slice: step: expected 1 or more, found -1 \(flip\(\) reverses\)/,
  );
  assert.throws(() => x.index(0 as never), /index: expected an array with one entry a dimension, found 0/);
});
