// Whatever opens data closes it: on every way out, and as often as it is done. Linux alone tells what is open.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";

import { openFilesIn, threadCount } from "../../../test/open-files.ts";
import { Config } from "../../config/index.ts";
import { rowsOf } from "../pack/batch.ts";
import { dataStats } from "../report/stats.ts";
import { checkSources } from "../source/dataset.ts";
import { Tokenizer } from "../text/tokenizer.ts";
import { firstBatches } from "./first-batches.ts";
import { HeldOutData } from "./held-out.ts";
import { openLoader } from "./open.ts";

const only = { skip: process.platform !== "linux", timeout: 120_000 };
const folder = mkdtempSync(join(tmpdir(), "torchforge-open-files-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const fixture = join(import.meta.dirname, "../../../test/fixtures/data/qwen-style.json.gz");
const files = JSON.parse(gunzipSync(readFileSync(fixture)).toString()) as Record<string, object>;
const template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
const configOf = { ...files["config"], chat_template: template };
const tokenizer = new Tokenizer({
  tokenizer: files["tokenizer"] as Record<string, unknown>,
  tokenizerConfig: configOf,
});

const write = (name: string, content: string | Buffer): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const rows = Array.from({ length: 20_000 }, (_, i) => ({ instruction: `Question ${i}`, output: "tea" }));
const jsonl = rows.map((row) => JSON.stringify(row)).join("\n");
const csv = ["instruction,output", ...rows.map((row) => Object.values(row).join(","))].join("\n");
const long = write("long.jsonl", jsonl);
const short = write("short.jsonl", jsonl.split("\n").slice(0, 50).join("\n"));
const other = write("other.jsonl", jsonl.split("\n").slice(50, 90).join("\n"));

const source = (path: string) => ({ path, format: "instruction" }) as const;
const options = { tokenizer, seqLen: 64, batchSize: 2, cacheFolder: null } as const;
const heldOut = (...paths: string[]) => ({
  ...options,
  sources: paths.map(source),
  shuffle: false,
  endless: false,
});

test("40 evaluations read two data sets that are opened once", only, async () => {
  const data = new HeldOutData();
  const evaluate = async (...paths: string[]): Promise<number[][]> => {
    const found: number[][] = [];
    for (const { loader } of await data.open(heldOut(...paths))) {
      for (let batch = await loader.next(); batch; batch = await loader.next())
        found.push([...batch.columns.tokens, ...rowsOf(batch)]);
      await loader.endThread();
    }
    return found;
  };
  const first = await evaluate(short, other);
  const threads = threadCount();
  for (let i = 1; i < 40; i++) {
    assert.deepEqual(await evaluate(short, other), first);
    assert.deepEqual(openFilesIn(folder), [other, short]);
  }
  // Another configuration of evaluation: what it no longer names is closed.
  assert.ok((await evaluate(other)).length < first.length);
  assert.deepEqual(openFilesIn(folder), [other]);
  await assert.rejects(evaluate(other, join(folder, "none.jsonl")), /was not found/);
  assert.deepEqual(openFilesIn(folder), []);
  assert.deepEqual(await evaluate(short, other), first);
  await data.close();
  assert.deepEqual(openFilesIn(folder), []);
  assert.ok(threadCount() <= threads, `${threadCount()} threads, ${threads} after the first evaluation`);
});

test("a loader closes its files and its thread, also where opening it fails", only, async () => {
  const cycle = async (): Promise<void> => {
    const loader = await openLoader({ ...options, sources: [source(short), source(long)] });
    await loader.next();
    assert.deepEqual(openFilesIn(folder), [long, short]);
    const state = loader.stateDict();
    const ahead = loader.next(); // under way: it still gets its rows
    await loader.close();
    assert.ok((await ahead)!.columns.tokens.length > 0);
    await loader.close();
    await assert.rejects(loader.next(), {
      name: "UserError",
      message: "next(): the loader is closed; open another one",
    });
    const failures = [
      { ...options, sources: [source(short), source(long)], state: { ...state, seed: 1 } },
      { ...options, sources: [source(short)], rank: 60, worldSize: 64 },
      { ...options, sources: [source(short), source(join(folder, "none.jsonl"))] },
      { ...options, sources: [{ path: short, split: "train[:0%]" }] },
      { ...options, sources: [{ path: short, columns: { instruction: "x" } }] },
      { ...options, sources: [source(short)], chatTemplate: "{% if %}" },
    ];
    for (const failure of failures) await assert.rejects(openLoader(failure));
    assert.deepEqual(openFilesIn(folder), []);
  };
  await cycle();
  const threads = threadCount();
  for (let i = 0; i < 5; i++) await cycle();
  assert.ok(threadCount() <= threads, `${threadCount()} threads, ${threads} after the first cycle`);
});

test("statistics, previews and checks close what they read", only, async () => {
  await dataStats({ ...options, sources: [source(short)] });
  assert.deepEqual(openFilesIn(folder), []);

  write("config.json", "{}");
  write("tokenizer.json", JSON.stringify(files["tokenizer"]));
  write("tokenizer_config.json", JSON.stringify(configOf));
  const config = Config.create({
    model: { hf_assets_path: folder },
    training: { seq_len: 256, datasets: [{ path: short }] },
  });
  const { batches, placeOf } = await firstBatches(config.spec, 2);
  assert.equal(batches.length, 2);
  const [row] = rowsOf(batches[1]!);
  assert.equal(placeOf(row!), `${short}:${row! + 1}`);
  assert.deepEqual(openFilesIn(folder), []);

  // Of these only the first row is looked at; the rest is not read.
  const sources = [
    long,
    write("long.jsonl.gz", gzipSync(jsonl)),
    write("long.csv", csv),
    write("long.csv.gz", gzipSync(csv)),
  ];
  for (const path of sources) await checkSources([{ path }]);
  await new Promise((resolve) => setTimeout(resolve, 100)); // streams close in their own time
  assert.deepEqual(openFilesIn(folder), []);
});
