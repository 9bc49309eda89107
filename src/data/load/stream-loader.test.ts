import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import type { Worker } from "node:worker_threads";
import { gunzipSync, gzipSync } from "node:zlib";
import { rowsOf, type Batch } from "../pack/batch.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import type { DataLoader, LoaderState } from "./loader.ts";
import { openData, openLoader, type OpenLoaderOptions } from "./open.ts";
import { Random } from "./random.ts";
import { reshardLoaderStates } from "./reshard.ts";

const dir = mkdtempSync(join(tmpdir(), "torchforge-stream-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const fixture = join(import.meta.dirname, "../../../test/fixtures/data/qwen-style.json.gz");
const files = JSON.parse(gunzipSync(readFileSync(fixture)).toString()) as Record<
  string,
  Record<string, unknown>
>;
const tokenizer = new Tokenizer({ tokenizer: files["tokenizer"]!, tokenizerConfig: files["config"]! });

const random = new Random(5);
/** 4 shards of 30 rows, whose numbers are in their text; one is packed. */
const text = (row: number): string =>
  `${row} ${Array.from({ length: 1 + random.below(40) }, () => random.pick(["tea", "is", "good", "x"])).join(" ")}`;
const texts = Array.from({ length: 120 }, (_, row) => text(row));
const shards = join(dir, "shards");
mkdirSync(shards);
for (let shard = 0; shard < 4; shard++) {
  const lines = texts.slice(30 * shard, 30 * shard + 30).map((one) => `${JSON.stringify({ text: one })}\n`);
  if (shard === 2) writeFileSync(join(shards, `${shard}.jsonl.gz`), gzipSync(lines.join("")));
  else writeFileSync(join(shards, `${shard}.jsonl`), lines.join(""));
}

const base = {
  tokenizer,
  sources: [{ path: shards, stream: true }],
  seqLen: 64,
  batchSize: 2,
  cacheFolder: null,
} as const;
const open = (more: Partial<OpenLoaderOptions> = {}): Promise<DataLoader> => openLoader({ ...base, ...more });
const take = async (loader: DataLoader, n: number): Promise<Batch[]> => {
  const batches: Batch[] = [];
  for (let i = 0; i < n; i++) batches.push((await loader.next())!);
  return batches;
};
const all = async (loader: DataLoader): Promise<Batch[]> => {
  const batches: Batch[] = [];
  for (let batch = await loader.next(); batch; batch = await loader.next()) batches.push(batch);
  await loader.close();
  return batches;
};
const columnsOf = (batches: readonly Batch[]): unknown =>
  batches.map((batch) => [batch.columns, batch.sequences]);
/** The numbers of the rows whose beginnings are in the batches. */
const rowsIn = (batches: readonly Batch[]): number[] =>
  batches.flatMap(({ columns, sequences }) => {
    let at = 0;
    return sequences.flat().flatMap(({ length }) => {
      const piece = tokenizer.decode(columns.tokens.subarray(at, (at += length)), {
        skipSpecialTokens: true,
      });
      const found = /^(\d+) /.exec(piece)?.[1];
      return found === undefined || !texts[Number(found)]!.startsWith(piece.slice(0, 8))
        ? []
        : [Number(found)];
    });
  });
const numbers = (from: number, to: number, step = 1): number[] =>
  Array.from({ length: Math.ceil((to - from) / step) }, (_, i) => from + i * step);
const sorted = (rows: readonly number[]): number[] => [...rows].sort((a, b) => a - b);

suite("a stream", { timeout: 240_000 }, () => {
  test("gives every row once an epoch, whole or as text without a gap", async () => {
    const packed = await open({ endless: false });
    assert.equal(packed.extent, "streamed, 4 files");
    assert.deepEqual(sorted(rowsIn(await all(packed))), numbers(0, 120));
    const loader = await open({ endless: false, onOverlong: "split", seqLen: 16 });
    const batches = await all(loader);
    const predicted = batches.reduce((sum, batch) => sum + batch.trainedTokens, 0);
    const tokens = texts.map((one) => tokenizer.encode(one).length + 1); // with its end, all but the first
    assert.equal(predicted, tokens.reduce((a, b) => a + b, 0) - 120);
    for (const batch of batches.slice(0, -1)) assert.ok(batch.columns.tokens.length >= 2 * 15);
    assert.equal(loader.ledger.trained, 120);
  });

  const cases: Partial<OpenLoaderOptions>[] = [
    {},
    { onOverlong: "split", seqLen: 24 },
    { packed: false },
    { onOverlong: "split", rank: 1, worldSize: 2 }, // shards of its own
    { rank: 2, worldSize: 3 }, // every third row
    { sources: [{ path: shards, stream: true, split: "train[:45]" }], onOverlong: "split" },
    { useThread: false },
  ];
  for (const more of cases) {
    test(`goes on exactly where it was saved: ${JSON.stringify(more)}`, async () => {
      const whole = await open(more);
      const states: LoaderState[] = [];
      const batches: Batch[] = [];
      while (whole.epoch <= 1.3 || batches.length < 20) {
        states.push(JSON.parse(JSON.stringify(whole.stateDict())) as LoaderState);
        batches.push((await whole.next())!);
      }
      const next = states.findIndex(({ epoch }) => epoch > 0);
      for (const at of [0, 1, 7, next - 1, next, next + 1, batches.length - 4]) {
        const resumed = await open({ ...more, state: states[at]! });
        assert.deepEqual(resumed.stateDict(), states[at]);
        assert.deepEqual(columnsOf(await take(resumed, 4)), columnsOf(batches.slice(at, at + 4)));
        await resumed.close();
      }
      // The same loader, taken back and looked at.
      await whole.loadStateDict(states[3]!);
      assert.deepEqual(columnsOf([(await whole.peek())!]), columnsOf([batches[3]!]));
      assert.deepEqual(columnsOf(await take(whole, 3)), columnsOf(batches.slice(3, 6)));
      await whole.rewind();
      assert.deepEqual(columnsOf(await take(whole, 2)), columnsOf(batches.slice(0, 2)));
      await whole.close();
    });
  }

  test("ranks share it: by shards where these divide evenly, else row by row", async () => {
    for (const worldSize of [2, 3, 4]) {
      const parts = await Promise.all(
        numbers(0, worldSize).map(async (rank) =>
          rowsIn(await all(await open({ endless: false, rank, worldSize }))),
        ),
      );
      assert.deepEqual(sorted(parts.flat()), numbers(0, 120), `${worldSize} ranks`);
      const first = worldSize === 3 ? numbers(0, 120, 3) : numbers(0, 30);
      assert.deepEqual(sorted(parts[0]!).slice(0, first.length), first);
    }
  });

  test("another number of ranks leaves no row out", async () => {
    for (const [before, after] of [
      [2, 4],
      [4, 1],
      [2, 3],
      [3, 2],
    ] as const) {
      const states: LoaderState[] = [];
      const seen: number[] = [];
      for (const rank of numbers(0, before)) {
        const loader = await open({ rank, worldSize: before, batchSize: 1 });
        seen.push(...rowsIn(await take(loader, 2 + rank)));
        states.push(loader.stateDict());
        await loader.close();
      }
      for (const state of reshardLoaderStates(states, after)) {
        const { rank, worldSize } = state;
        seen.push(...rowsIn(await all(await open({ rank, worldSize, batchSize: 1, state, endless: false }))));
      }
      assert.deepEqual(sorted([...new Set(seen)]), numbers(0, 120), `${before} to ${after}`);
    }
  });

  test("another number of ranks keeps to the first rows, and leaves none of them out", async () => {
    const part = {
      sources: [{ path: shards, stream: true, split: "train[:45]" }],
      batchSize: 1,
      packed: false,
    };
    for (const [before, after] of [
      [2, 1],
      [2, 4],
      [4, 3],
      [3, 2],
    ] as const) {
      const states: LoaderState[] = [];
      const seen: number[] = [];
      for (const rank of numbers(0, before)) {
        const loader = await open({ ...part, rank, worldSize: before });
        // Two ranks are in the second shard then, three or four in the first.
        seen.push(...rowsIn(await take(loader, before === 2 ? 17 + 3 * rank : 5 + rank)));
        states.push(JSON.parse(JSON.stringify(loader.stateDict())) as LoaderState);
        await loader.close();
      }
      for (const state of reshardLoaderStates(states, after)) {
        const { rank, worldSize } = state;
        seen.push(...rowsIn(await all(await open({ ...part, rank, worldSize, state, endless: false }))));
      }
      assert.deepEqual(sorted([...new Set(seen)]), numbers(0, 45), `${before} to ${after}`);
    }
  });

  test("a file that is rewritten while it is streamed ends the reading", async () => {
    const path = join(dir, "rewritten.jsonl");
    const write = (word: string, rows = 2000): void =>
      writeFileSync(
        path,
        numbers(0, rows)
          .map((row) => `{"text":"${row} ${word}"}\n`)
          .join(""),
      );
    for (const rows of [2000, 20]) {
      write("tea", rows);
      const loader = await open({ sources: [{ path, stream: true }], packed: false, batchSize: 1 });
      await take(loader, 3);
      write("is good", rows);
      await assert.rejects(
        async () => {
          for (let i = 0; i < 2500; i++) await loader.next();
        },
        {
          name: "UserError",
          message: /rewritten\.jsonl was changed while it is read, so rows would be taken/,
        },
      );
      await loader.close();
    }
  });

  test("where the tokenizing thread ends, rows are prepared without it", async () => {
    const workers: Worker[] = [];
    const note = (worker: Worker): void => void workers.push(worker);
    process.on("worker", note);
    const loader = await open({ endless: false, batchSize: 1 });
    try {
      const seen = rowsIn(await take(loader, 2));
      assert.equal(workers.length, 1);
      await workers[0]!.terminate();
      seen.push(...rowsIn(await all(loader)));
      assert.deepEqual(sorted(seen), numbers(0, 120));
      assert.equal(workers.length, 1);
    } finally {
      process.off("worker", note);
      await loader.close();
    }
  });

  test("places, limits, and what can't be streamed", async () => {
    const loader = await open({ packed: false, batchSize: 1 });
    const [, second] = await take(loader, 2);
    assert.equal(loader.placeOf(rowsOf(second!)[0]!), `${join(shards, "0.jsonl")}:2`);
    await loader.close();
    const part = (split: string) => ({ sources: [{ path: shards, stream: true, split }] });
    assert.deepEqual(
      sorted(rowsIn(await all(await open({ ...part("train[:45]"), endless: false })))),
      numbers(0, 45),
    );
    await assert.rejects(open(part("train[50%:]")), {
      name: "UserError",
      message:
        "training.dataset: a stream is read from its first row on, so of a split it takes the first rows alone, as in train[:10000]; found train[50%:]. Set training.stream: false for other parts",
    });
    await assert.rejects(
      open({ ...part("train[:1]"), rank: 1, worldSize: 2 }).then((one) => one.next()),
      {
        message: /^training\.dataset: the stream has no row for data-parallel rank 1 of 2; give more rows/,
      },
    );
    await assert.rejects(openData({ ...base }), { message: /is streamed, so it can't be read as a whole/ });
    const bad = join(dir, "bad.jsonl");
    writeFileSync(bad, `{"text": "a b"}\n{oops\n`);
    const broken = await open({ sources: [{ path: bad, stream: true }] });
    await assert.rejects(broken.next(), { message: /^.*bad\.jsonl:2: not JSON: .*on_bad_row: skip\.$/ });
    await broken.close();
    const lenient = await open({ sources: [{ path: bad, stream: true }], onBadRow: "skip", endless: false });
    assert.equal((await all(lenient)).length, 1);
    assert.deepEqual([lenient.ledger.trained, lenient.ledger.bad], [1, 1]);
  });
});
