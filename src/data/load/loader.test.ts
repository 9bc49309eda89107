import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { Config } from "../../config/index.ts";
import { sliceColumns } from "../columns.ts";
import { paddingOf, rowsOf, type Batch } from "../pack/batch.ts";
import type { DatasetSource } from "../source/dataset.ts";
import { checkData } from "./from-config.ts";
import type { DataLoader, LoaderState } from "./loader.ts";
import { openData, openLoader, type OpenLoaderOptions } from "./open.ts";
import { Random } from "./random.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import type { Message } from "../types.ts";

const dir = mkdtempSync(join(tmpdir(), "torchforge-loader-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const fixture = join(import.meta.dirname, "../../../test/fixtures/data/qwen-style.json.gz");
const files = JSON.parse(gunzipSync(readFileSync(fixture)).toString()) as Record<
  string,
  Record<string, unknown>
>;
const tokenizer = new Tokenizer({
  tokenizer: files["tokenizer"]!,
  tokenizerConfig: {
    ...files["config"],
    chat_template:
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
  },
});

const random = new Random(5);
const row = (i: number): object => ({
  instruction: `Question ${i}`,
  input: "",
  output: Array.from({ length: 1 + random.below(60) }, () =>
    random.pick(["tea", "is", "good", "and", "hot", "x"]),
  ).join(" "),
});
const write = (name: string, rows: readonly (object | string)[]): string => {
  const path = join(dir, name);
  writeFileSync(path, rows.map((r) => `${typeof r === "string" ? r : JSON.stringify(r)}\n`).join(""));
  return path;
};
const data = write(
  "rows.jsonl",
  Array.from({ length: 300 }, (_, i) => row(i)),
);
const base = {
  tokenizer,
  sources: [{ path: data, format: "instruction" }],
  seqLen: 256,
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
const sorted = (numbers: readonly number[]): number[] => [...numbers].sort((a, b) => a - b);

void suite("the loader", { timeout: 240_000 }, () => {
  for (const packed of [true, false]) {
    void test(`${packed ? "packs" : "pads"}: every row once an epoch, laid out as the model needs it`, async () => {
      const loader = await open({ packed, endless: false });
      const { preparer, dataset, feed } = await openData(base);
      const batches = await all(loader);
      assert.deepEqual(
        sorted(batches.flatMap(rowsOf)),
        Array.from({ length: 300 }, (_, i) => i),
      );
      for (const batch of batches) {
        const { seqLen, sequences } = batch;
        assert.equal(seqLen, packed ? 256 : Math.max(...sequences.map(([one]) => one!.length)));
        let at = 0;
        let labelled = 0;
        for (const { row, length } of sequences.flat()) {
          const prepared = preparer.prepare(dataset.get(row), 0);
          assert.ok("columns" in prepared);
          const { tokens, lossMask } = prepared.columns;
          const found = sliceColumns(batch.columns, at, (at += length));
          assert.deepEqual(found.tokens, tokens);
          assert.deepEqual(
            [...found.positions],
            Array.from({ length }, (_, t) => t),
          );
          for (const [t, label] of found.labels.entries()) {
            assert.equal(label, t + 1 < length && lossMask[t + 1] ? tokens[t + 1] : -100);
            if (label !== -100) labelled++;
          }
        }
        assert.deepEqual([batch.columns.tokens.length, batch.trainedTokens], [at, labelled]);
      }
      const total = batches.reduce((sum, batch) => sum + batch.sequences.length * batch.seqLen, 0);
      const padding = batches.reduce((sum, batch) => sum + paddingOf(batch), 0) / total;
      // Best fit leaves little but in the last packs; a batch of two leaves the difference of their lengths.
      assert.ok(packed ? padding < 0.04 : padding > 0.05, String(padding));
      await feed.close();
    });
  }

  void test("shuffled by seed, anew each epoch, the same with and without the thread", async () => {
    const [a, b, c] = [await open(), await open({ useThread: false }), await open({ seed: 43 })];
    const [first, second, third] = [await take(a, 80), await take(b, 80), await take(c, 80)];
    assert.deepEqual(first, second);
    assert.notDeepEqual(first.flatMap(rowsOf).slice(0, 20), third.flatMap(rowsOf).slice(0, 20));
    assert.ok(a.epoch > 1.2);
    const rows = first.flatMap(rowsOf);
    assert.notDeepEqual(rows.slice(0, 20), rows.slice(300, 320));
    for (const loader of [a, b, c]) await loader.close();
  });

  void test("ranks share the rows out, each row to one of them", async () => {
    const parts = [];
    for (const rank of [0, 1, 2])
      parts.push((await all(await open({ rank, worldSize: 3, endless: false }))).flatMap(rowsOf));
    assert.deepEqual(
      parts.map((part) => part.length),
      [100, 100, 100],
    );
    assert.deepEqual(
      sorted(parts.flat()),
      Array.from({ length: 300 }, (_, i) => i),
    );
    await assert.rejects(open({ rank: 300, worldSize: 400 }), {
      name: "UserError",
      message: /300 rows are fewer than the 400 data-parallel ranks/,
    });
  });

  for (const packed of [true, false]) {
    void test(`a resume goes on exactly, ${packed ? "packing buffer included" : "unpacked"}`, async () => {
      const whole = await open({ packed });
      const states: LoaderState[] = [];
      const batches: Batch[] = [];
      for (let i = 0; i < 40; i++) {
        states.push(JSON.parse(JSON.stringify(whole.stateDict())) as LoaderState);
        batches.push((await whole.next())!);
      }
      const ledger = whole.ledger.state;
      await whole.close();
      for (const at of [0, 1, 7, 23, 39]) {
        const resumed = await open({ packed, state: states[at]! });
        assert.deepEqual(resumed.stateDict(), states[at]);
        assert.deepEqual(await take(resumed, 40 - at), batches.slice(at));
        assert.deepEqual(resumed.ledger.state, ledger);
        await resumed.close();
      }
      if (packed) assert.ok(states.some((state) => state.buffer.length > 10));
    });
  }

  for (const packed of [true, false]) {
    void test(`looking for a row to train changes no batch, ${packed ? "packed" : "unpacked"}`, async () => {
      const [plain, searched] = [await open({ packed }), await open({ packed })];
      await searched.findTrainable();
      const { position, buffer } = searched.stateDict();
      assert.deepEqual([position, buffer.length], [1, 1], "it read no further than the first row");
      for (let i = 0; i < 5; i++) {
        assert.deepEqual(await searched.next(), await plain.next());
        const [found, expected] = [searched.stateDict(), plain.stateDict()];
        assert.deepEqual({ ...found, now: 0 }, { ...expected, now: 0 });
        await searched.findTrainable();
      }
      await plain.close();
      await searched.close();
    });

    void test(`a batch that was only looked at is still to come, ${packed ? "packed" : "unpacked"}, also at the end of an epoch`, async () => {
      const options = { packed, seqLen: 128, batchSize: 4, onOverlong: "drop" } as const;
      const plain = await open(options);
      const peeked = await open(options);
      for (let i = 0; i < 120; i++) {
        const before = peeked.stateDict();
        // The first look is at a loader from which nothing was taken; later ones at one with a buffer, and past an epoch.
        const seen = i % 7 === 0 ? await peeked.peek() : undefined;
        assert.deepEqual(peeked.stateDict(), before);
        const expected = await plain.next();
        const found = await peeked.next();
        assert.deepEqual(found, expected);
        if (seen) assert.deepEqual(seen, expected);
        assert.equal(peeked.epoch, plain.epoch);
        assert.deepEqual(peeked.ledger.state, plain.ledger.state);
      }
      assert.ok(plain.epoch > 1, `epoch ${plain.epoch}`);
      await plain.close();
      await peeked.close();
    });
  }

  void test("a state of other data, another seed or another rank is refused by name", async () => {
    const loader = await open();
    const state = loader.stateDict();
    await loader.close();
    const refused = async (more: Partial<OpenLoaderOptions>, message: RegExp): Promise<void> => {
      await assert.rejects(open({ state, ...more }), { name: "UserError", message });
    };
    await refused({ seed: 7 }, /training\.data_seed: expected 42, as when it was saved, found 7/);
    await refused(
      { worldSize: 2 },
      /number of data-parallel ranks: expected 1, as when it was saved, found 2/,
    );
    await refused(
      { trainOn: "all" },
      /these have changed: training\.train_on or another setting of the rows' text\. /,
    );
    await refused(
      { sources: [{ path: data, split: "train[:50%]" }] },
      /these have changed: the rows of the data; the form or the columns of the rows\. /,
    );
  });
});

void suite("rows that can't be trained", { timeout: 240_000 }, () => {
  const good = { prompt: "q", completion: "a" };

  void test("a bad row stops with file, line and reason, or is counted", async () => {
    const path = write("bad.jsonl", [good, "{oops", { prompt: 3, completion: "" }, good]);
    const options = { sources: [{ path }], shuffle: false, endless: false } as const;
    const strict = await open(options);
    await assert.rejects(strict.next(), (error: Error) => {
      assert.match(
        error.message,
        /bad\.jsonl:2: not JSON: .*Mend the row, or leave such rows out and count them with training\.on_bad_row: skip\.$/,
      );
      return error.name === "UserError";
    });
    await strict.close();
    const lenient = await open({ ...options, onBadRow: "skip" });
    assert.deepEqual((await all(lenient)).flatMap(rowsOf), [0, 3]);
    const { trained, bad, rows, reasons } = lenient.ledger;
    assert.deepEqual([trained, bad, rows], [2, 2, 4]);
    assert.deepEqual(reasons.find((r) => r.reason.includes("prompt"))?.examples, [`${path}:3`]);
  });

  void test("of copies in several formats one is taken, and the others are named", async () => {
    const folder = join(dir, "copies");
    mkdirSync(folder);
    writeFileSync(join(folder, "rows.jsonl"), `${JSON.stringify(row(1))}\n`);
    for (const name of ["rows.csv", "b.csv", "more.csv"])
      writeFileSync(join(folder, name), "instruction,output\nq,a\n");
    const warnings: string[] = [];
    const loader = await open({
      sources: [{ path: folder, format: "instruction" }],
      onWarning: (warning) => warnings.push(warning),
    });
    assert.equal(loader.rows, 3);
    assert.deepEqual(warnings, [
      `training.dataset: ${folder} has files of several formats, and those of one are taken, as on the hub: left out are ` +
        "rows.jsonl. Where they have other rows, name the files, or list them in training.datasets",
    ]);
    await loader.close();
  });

  void test("a file that is rewritten ends the reading, with and without the thread, as often as it is asked", async () => {
    for (const useThread of [true, false]) {
      const path = write(
        "rewritten.jsonl",
        Array.from({ length: 900 }, (_, i) => row(i)),
      );
      const loader = await open({ sources: [{ path, format: "instruction" }], useThread });
      await take(loader, 1);
      write(
        "rewritten.jsonl",
        Array.from({ length: 900 }, (_, i) => row(i + 7)),
      );
      const error = { name: "UserError", message: /rewritten\.jsonl was changed while it is read/ };
      await assert.rejects(take(loader, 900), error);
      await assert.rejects(take(loader, 900), error);
      await loader.close();
    }
  });

  void test("over-long rows: cut, dropped or an error, and counted", async () => {
    const path = write("long.jsonl", [
      good,
      { prompt: "q", completion: "tea ".repeat(400) },
      { prompt: "q ".repeat(400), completion: "a" },
    ]);
    const options = { sources: [{ path }], shuffle: false, endless: false } as const;
    const cut = await open(options);
    const batches = await all(cut);
    assert.deepEqual(sorted(batches.flatMap(rowsOf)), [0, 1]);
    assert.deepEqual(
      [cut.ledger.trained, cut.ledger.truncated, cut.ledger.dropped, cut.ledger.rows],
      [1, 1, 1, 3],
    );
    assert.deepEqual(
      cut.ledger.reasons.map((r) => r.reason),
      [
        "longer than training.seq_len (256)",
        "longer than training.seq_len (256), and nothing in its first part is trained",
      ],
    );
    const dropping = await open({ ...options, onOverlong: "drop" });
    assert.deepEqual((await all(dropping)).flatMap(rowsOf), [0]);
    assert.equal(dropping.ledger.dropped, 2);
    const strict = await open({ ...options, onOverlong: "error", onBadRow: "skip" });
    await assert.rejects(strict.next(), {
      name: "UserError",
      message: /long\.jsonl:2: longer than training\.seq_len \(256\)\. Raise training\.seq_len/,
    });
    await strict.close();
  });

  void test("a data set without anything to train is refused at the first batch", async () => {
    const path = write(
      "untrained.jsonl",
      Array.from({ length: 30 }, () => ({ messages: [{ role: "user", content: "only a question" }] })),
    );
    const loader = await open({ sources: [{ path }] });
    await assert.rejects(loader.next(), {
      name: "UserError",
      message:
        /none of its 30 rows can be trained.*30 rows: nothing in it is trained \(.*untrained\.jsonl:\d+/,
    });
    await loader.close();
  });

  void test("rows of which the template leaves something out: told at the first one, counted all", async () => {
    const messages = [
      { role: "user", content: "q" },
      { role: "assistant", content: "a" },
    ];
    const rows = Array.from({ length: 9 }, (_, i) =>
      i % 3 === 1 ? { messages, tools: [{ name: "f" }] } : { messages },
    );
    const path = write("tools.jsonl", rows);
    const warnings: string[] = [];
    const options = {
      shuffle: false,
      endless: false,
      useThread: false,
      onWarning: (w: string) => warnings.push(w),
    };
    const loader = await open({ sources: [{ path }], ...options });
    await all(loader);
    assert.deepEqual(warnings, [
      `${path}:2: the chat template leaves out the row's tools, so such rows are trained without it. \`forge data stats\` ` +
        "counts them; model.chat_template takes another template.",
    ]);
    assert.deepEqual(loader.ledger.lines, [
      `3 incomplete: the chat template leaves out the row's tools (${path}:2, ${path}:5, ${path}:8)`,
    ]);
    assert.equal(loader.ledger.trained, 9);
  });

  void test("many rows without anything to train: a warning with counts, once", async () => {
    const rows = Array.from({ length: 400 }, (_, i) =>
      i % 4 === 0
        ? { messages: [{ role: "user", content: "q" }] }
        : {
            messages: [
              { role: "user", content: "q" },
              { role: "assistant", content: "a" },
            ],
          },
    );
    const warnings: string[] = [];
    const loader = await open({
      sources: [{ path: write("some.jsonl", rows) }],
      shuffle: false,
      endless: false,
      onWarning: (w) => warnings.push(w),
    });
    await all(loader);
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0]!,
      /^64 of the first 256 rows have nothing to train and are dropped \(.*some\.jsonl:1, /,
    );
    assert.deepEqual([loader.ledger.trained, loader.ledger.dropped, loader.ledger.rows], [300, 100, 400]);
  });
});

void suite("the token cache", { timeout: 240_000 }, () => {
  void test("a second run tokenizes nothing; other settings or data have another file; a broken file is none", async () => {
    const cacheFolder = join(dir, "cache");
    const run = async (more: Partial<OpenLoaderOptions> = {}): Promise<Batch[]> =>
      all(await open({ cacheFolder, endless: false, ...more }));
    const first = await run();
    const [file] = readdirSync(cacheFolder);
    assert.equal(readdirSync(cacheFolder).length, 1);
    const again = await openData({ ...base, cacheFolder });
    assert.equal(again.cache.filled, 300);
    await again.feed.close();
    assert.deepEqual(await run(), first);
    await run({ trainOn: "all" });
    assert.equal(readdirSync(cacheFolder).length, 2);
    const path = join(cacheFolder, file!);
    const bytes = readFileSync(path);
    bytes[bytes.length - 5]! ^= 1;
    writeFileSync(path, bytes);
    const broken = await openData({ ...base, cacheFolder });
    assert.equal(broken.cache.filled, 0);
    await broken.feed.close();
    assert.deepEqual(await run(), first);
  });

  void test("the thread fills it ahead; ranks add their rows to one file; old files go", async () => {
    const cacheFolder = join(dir, "ranks");
    const [first, second] = [
      await openData({ ...base, cacheFolder }),
      await openData({ ...base, cacheFolder }),
    ];
    for (const [i, { feed, cache }] of [first, second].entries()) {
      feed.request(Array.from({ length: 150 }, (_, row) => 150 * i + row));
      // No row is taken here: only the thread can fill the cache.
      while (cache.filled < 150) await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await first.feed.close();
    await second.feed.close();
    const both = await openData({ ...base, cacheFolder });
    assert.equal(both.cache.filled, 300);
    await both.feed.close();
    for (let i = 0; i < 40; i++) {
      const old = join(cacheFolder, `${i}.tokens`);
      writeFileSync(old, "");
      utimesSync(old, 1, 1);
    }
    await all(await open({ cacheFolder, trainOn: "last", endless: false }));
    assert.equal(readdirSync(cacheFolder).length, 32);
    assert.ok(readdirSync(cacheFolder).some((name) => name.length > 40));
  });

  void test("rows of a function: never in a file, the same with and without the thread, and given a copy to change", async () => {
    const cacheFolder = join(dir, "function");
    const json = join(dir, "held.json"); // held in memory, unlike JSON lines
    const pairs = Array.from({ length: 40 }, (_, i) => [
      { role: "user", content: `Question ${i}` },
      { role: "assistant", content: "tea ".repeat(1 + (i % 7)) },
    ]);
    writeFileSync(json, JSON.stringify(pairs.map((messages) => ({ messages }))));
    const transform = (given: Record<string, unknown>): Message[] => {
      const messages = given["messages"] as Message[];
      messages.unshift({ role: "system", content: "Be brief." });
      return messages;
    };
    const whole = write(
      "whole.jsonl",
      pairs.map((messages) => ({ messages: transform({ messages: [...messages] }) })),
    );
    const run = async (source: DatasetSource, useThread: boolean): Promise<Batch[]> => {
      const loader = await open({ sources: [source], cacheFolder, useThread });
      const first = await take(loader, 3);
      const state = loader.stateDict();
      const next = await take(loader, 3);
      await loader.loadStateDict(state);
      assert.deepEqual(await take(loader, 3), next);
      await loader.close();
      return [...first, ...next];
    };
    const expected = await run({ path: whole }, true);
    const written = readdirSync(cacheFolder);
    for (const useThread of [true, false])
      assert.deepEqual(await run({ path: json, transform }, useThread), expected);
    assert.deepEqual(readdirSync(cacheFolder), written);
  });

  void test("what is wrong with a configuration's data is found without opening it", async () => {
    const check = (given: object): Promise<void> => {
      const { data, evaluation } = Config.create(
        { model: { hf_assets_path: dir }, processes: { procs: 1, with_gpus: false }, ...given },
        { allowUnsupported: true },
      ).spec;
      return checkData([...data.datasets, ...evaluation.datasets]);
    };
    await check({ training: { dataset: data } });
    await check({ training: { dataset: "org/name" } }); // of the hub: not asked
    const refused = async (given: object, message: RegExp): Promise<void> => {
      await assert.rejects(check(given), { name: "UserError", message, exitCode: 2 });
    };
    await refused(
      { training: { dataset: "./nowhere.jsonl" } },
      /^training\.dataset: \.\/nowhere\.jsonl was not found/,
    );
    const held = { path: data, split: "validation" };
    await refused(
      { training: { dataset: data }, eval: { datasets: [held] } },
      /^eval\.datasets\[0\]: .* is one file, which is split "train"/,
    );
    const odd = { path: write("odd.jsonl", [{ question: "" }]) };
    await refused(
      { training: { datasets: [{ path: data }, odd] } },
      /^training\.datasets\[1\]: no known format fits the columns question/,
    );
  });

  void test("parts of a data set: shares that don't overlap, several sources, hub names through resolve", async () => {
    const part = async (split: string): Promise<number> =>
      (await openData({ ...base, sources: [{ path: data, split }] })).dataset.length;
    assert.deepEqual(
      [
        await part("train[:95%]"),
        await part("train[95%:]"),
        await part("train[10:20]"),
        await part("train[-5:]"),
      ],
      [285, 15, 10, 5],
    );
    await assert.rejects(part("test"), {
      name: "UserError",
      message: /^training\.dataset: .* is one file, which is split "train"; found split "test"/,
    });
    await assert.rejects(part("train[300:]"), {
      name: "UserError",
      message: /has no rows in train\[300:\] \(the whole has 300\)/,
    });
    const asked: unknown[] = [];
    const two = await openData({
      ...base,
      sources: [
        { path: "org/name", split: "test", subset: "en", format: "alpaca" },
        { path: data, format: "instruction" },
      ],
      resolve: (...args) => {
        asked.push(args);
        return Promise.resolve([data]);
      },
    });
    assert.deepEqual(asked, [["org/name", "test", "en"]]);
    assert.equal(two.dataset.length, 600);
    assert.deepEqual([two.dataset.formatOf(299), two.dataset.formatOf(300)], [0, 1]);
    await assert.rejects(openData({ ...base, sources: [{ path: "org/name" }] }), {
      name: "UserError",
      message: /org\/name was not found/,
    });
  });

  void test("with epochs every row has been in a batch as often as they say, before any further one", async () => {
    for (const [epochs, more] of [
      [1, {}],
      [2, { packed: false, batchSize: 7 }],
      [0.5, {}],
      [3, { onOverlong: "split" }],
      [2, { worldSize: 2, rank: 1 }],
    ] as const) {
      const loader = await open({ epochs, ...more });
      const before = loader.stateDict();
      const batches = await loader.countBatches();
      assert.deepEqual(loader.stateDict(), before);
      const { worldSize = 1 } = more as Partial<OpenLoaderOptions>;
      const counts = new Map<number, number>();
      const taken = await take(loader, batches);
      const last = taken.pop()!;
      for (const row of taken.flatMap(rowsOf)) counts.set(row, (counts.get(row) ?? 0) + 1);
      const beforeLast = counts.values().reduce((sum, one) => sum + one, 0);
      for (const row of rowsOf(last)) counts.set(row, (counts.get(row) ?? 0) + 1);
      const wanted = Math.ceil((epochs * 300) / worldSize);
      if (!("onOverlong" in more)) {
        assert.ok(beforeLast < wanted, "no batch too many");
        assert.ok(counts.values().reduce((sum, one) => sum + one, 0) >= wanted);
      }
      if (epochs >= 1 && worldSize === 1) {
        assert.equal(counts.size, 300);
        assert.ok(counts.values().every((count) => count >= epochs));
      }
      await loader.close();
    }
  });

  void test("counting from a saved position gives what is left", async () => {
    const loader = await open({ epochs: 2 });
    const all = await loader.countBatches();
    await take(loader, 5);
    const state = JSON.parse(JSON.stringify(loader.stateDict())) as LoaderState;
    assert.equal(await loader.countBatches(), all - 5);
    await loader.close();
    const resumed = await open({ epochs: 2, state });
    await take(resumed, all - 5);
    assert.equal(await resumed.countBatches(), 0);
    await resumed.close();
  });
});
