import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import zlib, { gzipSync } from "node:zlib";
import { findDataFiles, ofSplit } from "./files.ts";
import { readRows, type ReadRow } from "./rows.ts";
import { openRows, parseRow } from "./store.ts";

const dir = mkdtempSync(join(tmpdir(), "torchforge-rows-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const file = (name: string, content: string | Uint8Array): string => {
  const path = join(dir, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, content);
  return path;
};
const rows = async (...files: string[]): Promise<ReadRow[]> => {
  const found: ReadRow[] = [];
  for await (const row of readRows(files)) found.push(row);
  return found;
};
const values = async (...files: string[]): Promise<unknown[]> =>
  (await rows(...files)).map((row) => ("bad" in row ? row.bad : row.value));
const fixtures = join(import.meta.dirname, "../../../test/fixtures/data");

void test(
  "JSON lines: a broken line is a bad row with its line, and the next rows come",
  { timeout: 60_000 },
  async () => {
    const path = file("a.jsonl", '\ufeff{"text":"1"}\n\n{"text": oops}\r\n{"text":"2"}');
    const [first, bad, last] = await rows(path);
    assert.deepEqual(first, { file: path, line: 1, value: { text: "1" } });
    assert.deepEqual(last, { file: path, line: 4, value: { text: "2" } });
    assert.ok(bad && "bad" in bad && bad.line === 3);
    assert.match(bad.bad, /^not JSON: .*oops/);
    assert.deepEqual(await values(file("a.jsonl.gz", gzipSync('{"text":"z"}\n'))), [{ text: "z" }]);
  },
);

void test(
  "JSON: an array, an object around one, JSON lines under that name",
  { timeout: 60_000 },
  async () => {
    assert.deepEqual(await values(file("b.json", '[{"a":1},{"a":2}]')), [{ a: 1 }, { a: 2 }]);
    assert.deepEqual(await values(file("c.json", '{"version":1,"data":[{"a":1}]}')), [{ a: 1 }]);
    assert.deepEqual(await values(file("d.json", '{"a":1}\n{"a":2}\n')), [{ a: 1 }, { a: 2 }]);
    await assert.rejects(rows(file("e.json", '{"a":')), { name: "UserError", message: /e\.json: not JSON/ });
    await assert.rejects(rows(file("f.json", "3")), {
      name: "UserError",
      message: /expected an array of rows/,
    });
  },
);

void test("CSV: quotes, line breaks, a short record; TSV", { timeout: 60_000 }, async () => {
  const path = file("a.csv", '\ufeffprompt,completion\n"a, ""b""","c\nd"\nonly one\ne,f\n');
  const found = await rows(path);
  assert.deepEqual(found[0], { file: path, line: 3, value: { prompt: 'a, "b"', completion: "c\nd" } });
  assert.ok(found[1] && "bad" in found[1] && found[1].line === 4);
  assert.match(found[1].bad, /Invalid Record Length/);
  assert.deepEqual(found[2], { file: path, line: 5, value: { prompt: "e", completion: "f" } });
  assert.deepEqual(await values(file("a.tsv", "text\tn\nx, y\t1\n")), [{ text: "x, y", n: "1" }]);
});

for (const codec of ["none", "snappy", "gzip", "brotli", "zstd"]) {
  void test(`Parquet with codec ${codec}`, { timeout: 60_000 }, async () => {
    const reading = rows(join(fixtures, `chat.${codec}.parquet`));
    if (codec === "zstd" && !("zstdDecompressSync" in zlib)) {
      await assert.rejects(reading, { message: /needs Node 22\.15/ });
      return;
    }
    const found = await reading;
    assert.deepEqual(
      found.map((row) => row.line),
      [1, 2, 3],
    );
    assert.deepEqual((found[2] as { value: unknown }).value, {
      messages: [
        { role: "user", content: "question 2" },
        { role: "assistant", content: "réponse 2 👍" },
      ],
      input_ids: [6n],
      source: "c",
    });
  });
}

void test("a file that isn't Parquet says so", { timeout: 60_000 }, async () => {
  await assert.rejects(rows(file("no.parquet", "hello, not a table")), {
    name: "UserError",
    message: /no\.parquet: not a Parquet file/,
  });
});

void test("files of a folder, by split; globs; what is not there", { timeout: 60_000 }, () => {
  const base = join(dir, "set");
  for (const name of [
    "data/train-00000-of-00002.parquet",
    "data/train-00001-of-00002.parquet",
    "data/test-00000.parquet",
    "README.md",
    ".cache/x.json",
  ])
    file(`set/${name}`, "");
  const names = (paths: string[]): string[] => paths.map((path) => path.slice(base.length + 1));
  assert.deepEqual(names(findDataFiles(base)), [
    "data/train-00000-of-00002.parquet",
    "data/train-00001-of-00002.parquet",
  ]);
  assert.deepEqual(names(findDataFiles(base, "test")), ["data/test-00000.parquet"]);
  assert.deepEqual(names(findDataFiles(join(base, "data/test*.parquet"))), ["data/test-00000.parquet"]);
  assert.throws(() => findDataFiles(base, "validation"), {
    name: "UserError",
    message: /has no split "validation"; found train, test|found test, train/,
  });
  assert.throws(() => findDataFiles(join(base, "nowhere")), {
    name: "UserError",
    message: /nowhere was not found/,
  });
  assert.throws(() => findDataFiles(join(base, "README.md")), {
    message: /README\.md is not a data file; expected \.jsonl/,
  });
  assert.deepEqual(ofSplit(["a.jsonl", "b.jsonl"], "train", base), ["a.jsonl", "b.jsonl"]);
});

void test(
  "text that isn't UTF-8 is a bad row with its line; the others are as they were",
  { timeout: 60_000 },
  async () => {
    const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");
    const csv = latin1("prompt,completion\nca,va\nd\u00e9j\u00e0,vu\n");
    const whole = Buffer.from('{"text":"d\u00e9j\u00e0 \ufffd"}\n');
    for (const [path, found, line] of [
      [file("latin1.csv", csv), { prompt: "ca", completion: "va" }, 3],
      [file("latin1.csv.gz", gzipSync(csv)), { prompt: "ca", completion: "va" }, 3],
      [
        file("latin1.jsonl", Buffer.concat([whole, latin1('{"text":"\u00e9"}\n')])),
        { text: "d\u00e9j\u00e0 \ufffd" },
        2,
      ],
      [file("latin1.json", latin1('[{"text":"a"},{"text":"\u00e9"}]')), { text: "a" }, 2],
    ] as const) {
      const store = await openRows([path]);
      const read = [0, 1].map((row) => parseRow(store.get(row)));
      store.close();
      assert.deepEqual("value" in read[0]! && read[0].value, found, path);
      assert.deepEqual(read[1], {
        file: path,
        line,
        bad: "its text is not UTF-8 (Latin-1, Windows-1252 or the like); save the file as UTF-8",
      });
    }
  },
);
