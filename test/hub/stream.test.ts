// Data sets of the hub that are read as they come: torchtitan's names, files of each kind, broken connections; nothing is stored.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { Config, type ConfigInput } from "../../src/config/index.ts";
import {
  openLoader,
  Tokenizer,
  trainingData,
  type Batch,
  type DataLoader,
  type LoaderState,
} from "../../src/data/index.ts";
import { readRows } from "../../src/data/source/rows.ts";
import { streamDataset } from "../../src/hub/index.ts";
import type { FakeHub } from "./server.ts";
import { inSetting } from "./setting.ts";

const limit = { timeout: 60_000 };
const fixtures = join(import.meta.dirname, "../fixtures/data");
const files = JSON.parse(gunzipSync(readFileSync(join(fixtures, "qwen-style.json.gz"))).toString()) as Record<
  string,
  Record<string, unknown>
>;
const tokenizer = new Tokenizer({ tokenizer: files["tokenizer"]!, tokenizerConfig: files["config"]! });

const readme = `---
license: odc-by
configs:
- config_name: en
  data_files:
  - split: train
    path: en/c4-train.*.json.gz
  - split: validation
    path: en/c4-validation.*.json.gz
- config_name: realnewslike
  data_files:
  - split: train
    path: realnewslike/c4-train.*.json.gz
---
`;
const texts = Array.from({ length: 90 }, (_, i) => `Text ${i} is about tea. `.repeat(1 + (i % 7)));
const packed = (from: number, to: number): Buffer =>
  gzipSync(
    texts
      .slice(from, to)
      .map((text) => `${JSON.stringify({ text, timestamp: "2019-04-25T12:57:54Z", url: "http://a.b" })}\n`)
      .join(""),
  );
const addC4 = (hub: FakeHub): void => {
  hub.add("dataset", "allenai/c4", {
    "README.md": readme.replaceAll("\n", "\r\n"),
    "en/c4-train.00000-of-00002.json.gz": packed(0, 40),
    "en/c4-train.00001-of-00002.json.gz": packed(40, 80),
    "en/c4-validation.00000-of-00001.json.gz": packed(80, 90),
    "realnewslike/c4-train.00000-of-00001.json.gz": packed(0, 5),
    "multilingual/c4-af.json.gz": "not read",
  });
};
const open = (training: ConfigInput["training"], state?: LoaderState): Promise<DataLoader> => {
  const { spec } = Config.create({
    model: { hf_assets_path: "unused" },
    training: { seq_len: 32, local_batch_size: 2, ...training },
  });
  return openLoader({ ...trainingData(spec, tokenizer), cacheFolder: null, state });
};
const take = async (loader: DataLoader, n: number): Promise<Batch[]> => {
  const batches: Batch[] = [];
  for (let i = 0; i < n; i++) batches.push((await loader.next())!);
  await loader.close();
  return batches;
};
const tokensOf = (batches: readonly Batch[]): number[][] => batches.map(({ columns }) => [...columns.tokens]);

test(
  "c4 is trained on as it comes: text without a gap, nothing stored, the same after a resume",
  limit,
  async () => {
    await inSetting(async ({ hub, home }) => {
      addC4(hub);
      const loader = await open({ dataset: "c4" });
      assert.equal(loader.extent, "streamed, 2 files");
      const begun = loader.stateDict();
      const first: Batch[] = [];
      for (let i = 0; i < 12; i++) first.push((await loader.next())!);
      const state = JSON.parse(JSON.stringify(loader.stateDict())) as LoaderState;
      const next = await take(loader, 12);
      assert.deepEqual(tokensOf(await take(await open({ dataset: "c4" }, begun), 12)), tokensOf(first));
      assert.deepEqual(tokensOf(await take(await open({ dataset: "c4" }, state), 12)), tokensOf(next));
      // The first documents, each with its end, cut where a sequence ends.
      const expected = [0, 1].flatMap((i) => [...tokenizer.encode(texts[i]!), tokenizer.eosId!]);
      const found = tokensOf(first).flat();
      assert.deepEqual(found.slice(0, 32), expected.slice(0, 32));
      assert.equal(found[32], expected[31]);
      assert.ok(first.every((batch) => batch.trainedTokens > 0 && batch.columns.tokens.length >= 62));
      assert.ok(!existsSync(join(home, "hub")), "something was stored");
      const asked = hub.log.map(({ path }) => path);
      assert.ok(asked.some((path) => path.includes("/tree/")));
      for (const path of asked.filter((one) => one.includes("/tree/")))
        assert.match(path, /\/tree\/[0-9a-f]{40}\/en\?/);
      assert.ok(asked.every((path) => !/multilingual|realnewslike|validation/.test(path)));
    });
  },
);

test("torchtitan's other names, and parts of them", limit, async () => {
  await inSetting(async ({ hub }) => {
    addC4(hub);
    const all = async (training: ConfigInput["training"]): Promise<number> => {
      const { spec } = Config.create({ model: { hf_assets_path: "unused" }, training });
      const loader = await openLoader({
        ...trainingData(spec, tokenizer),
        endless: false,
        cacheFolder: null,
      });
      while (await loader.next());
      await loader.close();
      return loader.ledger.rows;
    };
    assert.equal(await all({ dataset: "c4_validation" }), 10);
    assert.equal(await all({ dataset: "c4_test" }), 80); // of 2,000 at most
    const stream = true;
    assert.equal(
      await all({ stream, datasets: [{ path: "allenai/c4", subset: "en", split: "train[:50]" }] }),
      50,
    );
    assert.equal(await all({ stream, datasets: [{ path: "allenai/c4", subset: "realnewslike" }] }), 5);
    await assert.rejects(all({ stream, dataset: "allenai/c4" }), {
      message: "allenai/c4: expected to be told which of its subsets, found en, realnewslike",
    });
  });
});

test("a connection that breaks is opened again where it ended; Parquet is read in parts", limit, async () => {
  await inSetting(async ({ hub }) => {
    const parquet = readFileSync(join(fixtures, "chat.snappy.parquet"));
    const lines = `${texts.map((text) => JSON.stringify({ text })).join("\n")}\n`;
    hub.add("dataset", "org/rows", {
      "train.jsonl.gz": gzipSync(lines, { level: 0 }),
      "test.parquet": parquet,
    });
    const rowsOf = async (split: string): Promise<unknown[]> => {
      const { files } = await streamDataset("org/rows", split);
      const rows: unknown[] = [];
      for await (const row of readRows(files)) rows.push("value" in row ? row.value : row);
      return rows;
    };
    hub.faults.set("train.jsonl.gz", ({ count }) => (count <= 3 ? { cutAfter: 1000 } : undefined));
    assert.deepEqual(
      await rowsOf("train"),
      texts.map((text) => ({ text })),
    );
    const ranges = hub.log.filter(({ cdn }) => cdn).map(({ range }) => range);
    assert.deepEqual(ranges, [undefined, "bytes=1000-", "bytes=2000-", "bytes=3000-"]);
    hub.faults.set("train.jsonl.gz", ({ range }) =>
      range === undefined ? { cutAfter: 1000 } : { ignoreRange: true },
    );
    assert.equal((await rowsOf("train")).length, texts.length);
    hub.faults.set("train.jsonl.gz", ({ range }) => ({ cutAfter: range === undefined ? 1000 : 0 }));
    await assert.rejects(rowsOf("train"), {
      name: "UserError",
      message:
        /^org\/rows: train\.jsonl\.gz: its transfer broke off \(.*\) and 5 attempts brought nothing more\. Start again to go on from the last checkpoint\.$/,
    });
    const local: unknown[] = [];
    for await (const row of readRows([join(fixtures, "chat.snappy.parquet")]))
      local.push("value" in row ? row.value : row);
    assert.deepEqual(await rowsOf("test"), local);
    // No answer at all, to begin with, and more than was asked for.
    const noAnswer = ({ range }: { range: string | undefined }) =>
      asked.has(range) ? ({ toTheEnd: true } as const) : (asked.add(range), { noAnswer: true } as const);
    const asked = new Set<string | undefined>();
    hub.faults.set("train.jsonl.gz", noAnswer);
    hub.faults.set("test.parquet", noAnswer);
    assert.equal((await rowsOf("train")).length, texts.length);
    assert.deepEqual(await rowsOf("test"), local);
    assert.ok(
      hub.log.filter(({ path }) => path.endsWith("test.parquet") && path.startsWith("/datasets/org")).length >
        0,
    );
  });
});
