// The cut against a picture of which token sees which, for packs whose documents end within, at and across chunks.
import assert from "node:assert/strict";
import test from "node:test";

import { SequenceChunks, paddedLength } from "./sequence-chunks.ts";

const packs: readonly (readonly (readonly number[])[])[] = [
  [[48]],
  [[5, 19, 24]],
  [[8, 8, 8]],
  [[1, 23], [48], [7, 2, 15]],
];

/** Which token of the rows each rank's tokens are, by their number in all rows together. */
function idsOf(rows: readonly (readonly number[])[], cut: SequenceChunks): number[][] {
  const starts = [0];
  for (const lengths of rows) starts.push(starts.at(-1)! + lengths.reduce((a, b) => a + b, 0));
  return Array.from({ length: cut.ranks }, (_, rank) =>
    cut
      .chunks(rank)
      .flatMap(({ row, from, to }) => Array.from({ length: to - from }, (_, i) => starts[row]! + from + i)),
  );
}

/** Pairs of tokens "query key" that spans allow. */
function pairs(spans: readonly number[], queries: readonly number[], keys: readonly number[]): string[] {
  const found: string[] = [];
  for (let i = 0; i < spans.length; i += 5) {
    const [query, rows, key, columns, offset] = spans.slice(i) as [number, number, number, number, number];
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++)
        if (c <= offset + r) found.push(`${queries[query + r]} ${keys[key + c]}`);
  }
  return found.sort();
}

for (const ranks of [2, 3, 4]) {
  for (const rows of packs) {
    test(`rows of ${rows.map(String).join("; ")} tokens among ${ranks} ranks`, () => {
      const cut = new SequenceChunks(rows, ranks);
      const ids = idsOf(rows, cut);
      const all = rows.flat().reduce((a, b) => a + b, 0);
      for (const own of ids) assert.equal(own.length, cut.tokens);
      const documents = rows.flat().flatMap((length, i) => Array.from({ length }, () => i));
      const { sizes, order } = cut.joining;
      const gathered = ids.flat();
      let at = 0;
      const parts = sizes.map((size) => gathered.slice(at, (at += size)));
      const whole = Array.from({ length: all }, (_, i) => i);
      assert.deepEqual(
        order.flatMap((i) => parts[i]!),
        whole,
      );
      for (const [rank, own] of ids.entries()) {
        const wanted = own
          .flatMap((q) =>
            whole.filter((k) => k <= q && documents[k] === documents[q]).map((k) => `${q} ${k}`),
          )
          .sort();
        assert.deepEqual(pairs(cut.spansOfAll(rank), own, whole), wanted);
        const byRank = ids.flatMap((keys, other) => pairs(cut.spansOfRank(rank, other), own, keys)).sort();
        assert.deepEqual(byRank, wanted);
      }
    });
  }
}

test("chunks are equal: a row is padded to a multiple of twice the ranks", () => {
  assert.deepEqual(
    [1, 8, 9].map((length) => paddedLength(length, 4)),
    [8, 8, 16],
  );
  assert.throws(() => new SequenceChunks([[4, 3]], 2), {
    message: "rows of 4,3 tokens aren't multiples of 2 x 2",
  });
});

test("of one long document every rank has about the same work", () => {
  const cut = new SequenceChunks([[4096]], 4);
  const work = Array.from({ length: 4 }, (_, rank) => {
    const spans = cut.spansOfAll(rank);
    let sum = 0;
    for (let i = 0; i < spans.length; i += 5) sum += spans[i + 1]! * (spans[i + 4]! + spans[i + 1]! / 2);
    return sum;
  });
  assert.equal(Math.max(...work), Math.min(...work));
});
