// Attention of documents that are cut (forge::span_attention) against attention of the whole ones. In float64 sums in another
// order differ by about 1e-15 relative. The composed operators, which half types take, against the kernel in float64 on the
// same numbers: float16 rounds scores of some units, probabilities and results by 2^-11, so that they may be off by some of
// that of the largest.
import assert from "node:assert/strict";
import test from "node:test";

import { documentAttention } from "../../nn/index.ts";
import {
  cat,
  float16,
  float64,
  fromArray,
  fused,
  grad,
  int64,
  manualSeed,
  randn,
  scope,
  type Dtype,
  type Tensor,
} from "../../torch/index.ts";
import { SequenceChunks } from "./sequence-chunks.ts";

const [heads, kvHeads, dim] = [4, 2, 16];
const scale = 1 / Math.sqrt(dim);

/** q, k, v and what the output is weighed with. */
function inputs(tokens: number, dtype: Dtype = float64): Tensor[] {
  manualSeed(tokens);
  const make = (n: number) => randn([tokens, n, dim], { dtype: float64 }).to(dtype);
  return [make(heads), make(kvHeads), make(kvHeads), make(heads)];
}

const spanAttention = (q: Tensor, k: Tensor, v: Tensor, spans: readonly number[], window = 0): Tensor =>
  fused.spanAttention(q, k, v, spans, scale, window);

/** Output and gradients of attention of the whole documents. */
function whole(
  lengths: readonly number[],
  window: number | undefined,
  [q, k, v, weight]: Tensor[],
): Tensor[] {
  const leaves = [q!, k!, v!].map((one) => one.detach().requiresGrad_()) as [Tensor, Tensor, Tensor];
  const out = documentAttention(...leaves, { lengths, window }).view([-1, heads, dim]);
  return [out, ...grad(out, leaves, weight)];
}

function assertAll(found: readonly Tensor[], expected: readonly Tensor[], relative: number): void {
  for (const [i, name] of ["output", "gradient of q", "gradient of k", "gradient of v"].entries()) {
    const most = expected[i]!.abs().max().item();
    const difference = found[i]!.to(float64).sub(expected[i]!).abs().max().item();
    assert.ok(difference <= relative * most, `${name}: differs by ${difference} of ${most}`);
  }
}

for (const [rows, ranks, window] of [
  [[[48]], 2, undefined],
  [[[100, 7, 293]], 2, undefined],
  [[[1, 23], [480], [7, 2, 15]], 3, undefined],
  [[[300, 340]], 2, 50],
  [[[640]], 4, 7],
] as const) {
  test(`rows of ${rows.map(String).join("; ")} tokens, cut among ${ranks}, window ${window}`, () => {
    using _ = scope();
    const lengths = rows.flat();
    const given = inputs(lengths.reduce((a: number, b: number) => a + b, 0));
    const expected = whole(lengths, window, given);
    const cut = new SequenceChunks(rows, ranks);
    const [q, k, v] = given.map((one) => one.detach().requiresGrad_()) as [Tensor, Tensor, Tensor];
    const starts = rows.map((_, i) =>
      rows
        .slice(0, i)
        .flat()
        .reduce((a: number, b: number) => a + b, 0),
    );
    const outputs = Array.from({ length: ranks }, (_, rank) => {
      const own = cut.chunks(rank).map(({ row, from, to }) => q.narrow(0, starts[row]! + from, to - from));
      return spanAttention(cat(own), k, v, cut.spansOfAll(rank), window);
    });
    const { sizes, order } = cut.joining;
    const parts = cat(outputs).splitWithSizes(sizes, 0);
    const out = cat(order.map((i) => parts[i]!));
    assertAll([out, ...grad(out, [q, k, v], given[3])], expected, 1e-10);
  });
}

/** One document whose keys lie in three places, the middle ones last in memory. */
function apart(tokens: number): { order: number[]; spans: number[] } {
  const [a, b] = [Math.floor(tokens / 4), Math.floor(tokens / 2) + 3];
  const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);
  return {
    order: [...range(0, a), ...range(b, tokens), ...range(a, b)],
    spans: [0, tokens, 0, a, 0, 0, tokens, a, tokens - b, -b, 0, tokens, a + tokens - b, b - a, -a],
  };
}

for (const [dtype, tokens, window, relative] of [
  [float64, 9, undefined, 1e-10],
  [float64, 400, undefined, 1e-10],
  [float64, 400, 150, 1e-10],
  [float16, 9, undefined, 2 ** -8],
  [float16, 530, undefined, 2 ** -8],
  [float16, 530, 30, 2 ** -8],
] as const) {
  test(`keys in three places, ${tokens} tokens, window ${window}, ${dtype.name}`, () => {
    using _ = scope();
    const given = inputs(tokens, dtype);
    const expected = whole(
      [tokens],
      window,
      given.map((one) => one.to(float64)),
    );
    const { order, spans } = apart(tokens);
    const index = fromArray(order, { dtype: int64 });
    const [q, k, v] = given.map((one) => one.detach().requiresGrad_()) as [Tensor, Tensor, Tensor];
    const out = spanAttention(q, k.indexSelect(0, index), v.indexSelect(0, index), spans, window);
    assert.equal(out.dtype, dtype);
    assertAll([out, ...grad(out, [q, k, v], given[3])], expected, relative);
  });
}

test("queries without keys give zeros, and have no gradient", () => {
  using _ = scope();
  const [q, k, v] = inputs(6).map((one) => one.requiresGrad_()) as [Tensor, Tensor, Tensor];
  const out = spanAttention(q, k, v, [2, 2, 0, 2, 0]);
  const [gradQ] = grad(out.sum(), [q]) as [Tensor];
  const rows = out.abs().sum([1, 2]).tolist() as number[];
  for (const [i, row] of rows.entries()) assert.equal(row === 0, i < 2 || i > 3);
  assert.equal(gradQ.narrow(0, 4, 2).abs().sum().item(), 0);
});

test("spans outside the tensors, and those that would be added to at once, are refused", () => {
  using _ = scope();
  const [q, k, v] = inputs(6) as [Tensor, Tensor, Tensor];
  const ask =
    (...spans: number[]) =>
    () =>
      spanAttention(q, k, v, spans);
  assert.throws(ask(0, 6, 0, 7, 0), {
    message: /the span \[0, 6, 0, 7, 0\] is not within 6 queries and 6 keys/,
  });
  assert.throws(ask(5, 2, 0, 6, 0), { message: /is not within/ });
  assert.throws(ask(0, 6, 0, 6), { message: /expected five numbers for each span, found 4/ });
  assert.throws(ask(0, 3, 0, 3, 0, 2, 3, 0, 3, 0), { message: /comes after one that it should come before/ });
  assert.throws(ask(0, 3, 3, 3, 0, 3, 3, 0, 3, 0), { message: /comes after one that it should come before/ });
});
