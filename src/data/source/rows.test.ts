import assert from "node:assert/strict";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import zlib, { gzipSync } from "node:zlib";
import { openFilesIn } from "../../../test/open-files.ts";
import { findDataFiles, ofSplit } from "./files.ts";
import { splitRows, type RowBytes } from "./json-rows.ts";
import type { ReadRow } from "./bad-rows.ts";
import { readRows } from "./rows.ts";
import { openRows, parseRow } from "./store.ts";
import { maxRowBytes } from "./bytes.ts";
import { pythonJson } from "../values.ts";

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
  assert.deepEqual(await values(file("mixed.csv", "a,b\n1,2\r\n3,4\r5,6\r\n")), [
    { a: "1", b: "2" },
    { a: "3", b: "4" },
    { a: "5", b: "6" },
  ]);
  assert.match(String(await values(file("open.csv", 'a\n"b\nc\n'))), /^Quote Not Closed: .* at line 3$/);
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
      input_ids: [6],
      source: "c",
    });
  });
}

void test("Parquet's values are those of JSON, and structs without the fields that others have", async () => {
  const path = join(fixtures, "nested.parquet");
  const read = await values(path);
  assert.equal(
    pythonJson(read[0]),
    '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "tool_calls": [{"function": {"name": "f", ' +
      '"arguments": {"city": "Paris", "days": 9007199254740993, "price": 20.0}}}]}], ' +
      '"score": null, "day": "2026-11-28T00:00:00.000Z", "raw": "\ufffd\u0000"}'.replace("\u0000", "\\u0000"),
  );
  assert.equal(
    pythonJson(read[1]),
    '{"messages": [{"role": "assistant", "content": "a", "tool_calls": [{"function": {"name": "f", ' +
      '"arguments": {"days": 3, "zone": "UTC"}}}]}], "score": 1e+22, "day": null, "raw": null}',
  );
  const store = await openRows([path]);
  assert.equal(store.length, 2);
  assert.deepEqual(parseRow(store.get(1)), { file: path, line: 2, value: read[1] });
  store.close();
});

void test("Parquet's maps are objects, and lists of them lists", { timeout: 60_000 }, async () => {
  assert.deepEqual(await values(join(fixtures, "maps.parquet")), [
    { one: { a: 1, b: 2 }, list: [{ a: 1 }, {}, { b: 2 }] },
  ]);
});

void test("a file that isn't Parquet says so", { timeout: 60_000 }, async () => {
  const gone = join(dir, "gone.parquet");
  await assert.rejects(rows(gone), {
    name: "UserError",
    message: `${gone} can't be read: ENOENT: no such file or directory, open '${gone}'`,
  });
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
    message:
      /README\.md is not a data file; expected \.jsonl, \.ndjson, \.json, \.parquet, \.csv, \.tsv \(text also with \.gz or \.zst\)/,
  });
  file("spark/train.jsonl/part-0.jsonl", "");
  const parts = [join(dir, "spark/train.jsonl/part-0.jsonl")];
  assert.deepEqual(findDataFiles(join(dir, "spark")), parts);
  assert.deepEqual(findDataFiles(join(dir, "spark/**/*")), parts);
  assert.deepEqual(ofSplit(["rows.jsonl", "heldout.jsonl"], "validation", base), ["heldout.jsonl"]);
  assert.deepEqual(ofSplit(["train1.jsonl", "test1.jsonl"], "train", base), ["train1.jsonl"]); // as on the hub
  assert.deepEqual(ofSplit(["part2.jsonl", "test.jsonl"], "part2", base), ["part2.jsonl"]);
  assert.deepEqual(ofSplit(["a.jsonl", "b.jsonl"], "train", base), ["a.jsonl", "b.jsonl"]);
  // A split has several names, and the same rows lie there in several formats.
  const files = [
    "dev.csv",
    "training.csv",
    "training-1.jsonl.gz",
    "training-2.jsonl.zst",
    "evaluation.jsonl",
  ];
  assert.deepEqual(ofSplit(files, "train", base), ["training-1.jsonl.gz", "training-2.jsonl.zst"]);
  assert.deepEqual(ofSplit(files, "validation", base), ["dev.csv"]);
  assert.deepEqual(ofSplit(files, "test", base), ["evaluation.jsonl"]);
  assert.deepEqual(ofSplit(["rows.csv", "rows.jsonl", "rows.parquet"], "train", base), ["rows.parquet"]);
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

type PlacedRow = { line: number; value?: unknown; bad?: string };

/** Rows as they are streamed and as they are stored, which are the same; without the file's name. */
const both = async (path: string): Promise<PlacedRow[]> => {
  const bare = (row: object): PlacedRow => {
    const copy: Record<string, unknown> = { ...row };
    delete copy["file"];
    return copy as PlacedRow;
  };
  const streamed = (await rows(path)).map(bare);
  const store = await openRows([path]);
  const stored = Array.from({ length: store.length }, (_, row) => bare(parseRow(store.get(row))));
  store.close();
  assert.deepEqual(stored, streamed);
  return streamed;
};
const zstd = (zlib as { zstdCompressSync?: (text: string) => Buffer }).zstdCompressSync;

void test("lines end in any way, and in any mixture; a mark at the beginning and other line separators are no matter", async () => {
  const path = file("ends.jsonl", '\ufeff\r\n{"a":1}\r{"a":2}\r\n\n \t\n{"a":"\u2028"}\n\r{"a":4} ');
  assert.deepEqual(await both(path), [
    { line: 2, value: { a: 1 } },
    { line: 3, value: { a: 2 } },
    { line: 6, value: { a: "\u2028" } },
    { line: 8, value: { a: 4 } },
  ]);
});

void test("a row is an object, whatever its columns are called; what it holds keeps its order", async () => {
  const [row] = await values(file("order.jsonl", '{"text":"x","0":{"b":1,"1":2.0}}'));
  assert.deepEqual(Object.keys(row as object), ["0", "text"]);
  assert.equal(pythonJson(row), '{"0": {"b": 1, "1": 2.0}, "text": "x"}');
});

void test("packed text: gzip, also of several members, and zstd; broken archives are told in a sentence", async () => {
  const text = '{"a":1}\n{"a":2}\n';
  const found = [
    { line: 1, value: { a: 1 } },
    { line: 2, value: { a: 2 } },
  ];
  const packed = gzipSync(text);
  assert.deepEqual(await both(file("p.jsonl.gz", packed)), found);
  assert.deepEqual(
    await both(file("two.jsonl.gz", Buffer.concat([gzipSync('{"a":1}\n'), gzipSync('{"a":2}')]))),
    found,
  );
  assert.deepEqual(await both(file("p.json.gz", gzipSync('[{"a":1},{"a":2}]'))), found);
  if (zstd !== undefined) {
    assert.deepEqual(await both(file("p.jsonl.zst", zstd(text))), found);
    assert.deepEqual(await both(file("p.csv.zst", zstd("a,b\n1,2\n"))), [
      { line: 2, value: { a: "1", b: "2" } },
    ]);
    await assert.rejects(both(file("cut.jsonl.zst", zstd(text.repeat(99)).subarray(0, 30))), {
      message: /cut\.jsonl\.zst: damaged, or not zstd/,
    });
  }
  const broken: [string, Buffer][] = [
    ["cut.jsonl.gz", packed.subarray(0, -4)],
    ["cut.json.gz", packed.subarray(0, 15)],
    ["cut.csv.gz", packed.subarray(0, 15)],
    ["plain.jsonl.gz", Buffer.from(text)],
    ["flipped.jsonl.gz", Buffer.from(packed.map((byte, i) => (i === packed.length - 6 ? byte ^ 1 : byte)))],
  ];
  for (const [name, bytes] of broken)
    for (const read of [rows, (path: string) => openRows([path])])
      await assert.rejects(read(file(name, bytes)), {
        name: "UserError",
        message: new RegExp(
          `${name.replaceAll(".", "\\.")}: damaged, or not gzip \\(.+\\)\\. Copy or download it again`,
        ),
      });
});

void test("what isn't UTF-8 text is named", async () => {
  const swapped = (text: string): Buffer => Buffer.from(text, "utf16le").swap16();
  const cases: [Buffer, string][] = [
    [Buffer.from('\ufeff{"a":1}', "utf16le"), "its text is UTF-16 (little endian). Save the file as UTF-8"],
    [Buffer.from('{"a":1}', "utf16le"), "its text is UTF-16 (little endian). Save the file as UTF-8"],
    [swapped('\ufeff{"a":1}'), "its text is UTF-16 (big endian). Save the file as UTF-8"],
    [swapped('{"a":1}'), "its text is UTF-16 (big endian). Save the file as UTF-8"],
    [gzipSync("{}"), "it is packed with gzip, which its name doesn't say. Give it that ending"],
    [
      Buffer.from("PK\u0003\u0004more"),
      "it is a zip archive. Expected UTF-8 text; unpack it, or name another file",
    ],
    [Buffer.from("PAR1more"), "it is Parquet, which its name doesn't say. Give it that ending"],
    [
      Buffer.alloc(9),
      "it is no text (it has zero bytes). Expected UTF-8 text; unpack it, or name another file",
    ],
  ];
  for (const [bytes, message] of cases)
    for (const name of ["other.jsonl", "other.json", "other.csv"]) {
      const path = file(name, bytes);
      await assert.rejects(rows(path), { name: "UserError", message: `${path}: ${message}` });
      await assert.rejects(openRows([path]), { name: "UserError", message: `${path}: ${message}` });
    }
});

void test("JSON documents are divided wherever their chunks end", async () => {
  const row = { text: '[{"]}\\" \u{1f44d},', nested: [[{}], { a: [1, 2.5, null] }], n: -1e-7, t: true };
  const all = [row, 7, "x,]", null, [], { ...row, last: [] }];
  const documents = [
    JSON.stringify(all),
    JSON.stringify(all, null, 2),
    `\ufeff ${JSON.stringify({ version: "[1]", meta: { tags: { a: ["x"] }, n: 1 }, data: all, more: {} }, null, 1)}\r\n`,
  ];
  for (const text of documents) {
    const bytes = Buffer.from(text);
    for (const size of [1, 2, 3, 7, bytes.length]) {
      async function* chunks(): AsyncGenerator<Buffer> {
        for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
      }
      const found: RowBytes[] = [];
      for await (const some of splitRows("a.json", chunks(), "json")) found.push(...some);
      assert.deepEqual(
        found.map(({ bytes: row }) => JSON.parse(row!.toString()) as unknown),
        all,
      );
      assert.deepEqual(
        found.map(({ start, end }) => JSON.parse(bytes.subarray(start, end).toString()) as unknown),
        all,
      );
    }
    // An array under the name of lines is one, too; so are lines under the name of a document.
    if (text.startsWith("[")) assert.equal((await both(file("array.jsonl", text))).length, all.length);
  }
  assert.deepEqual(await both(file("lines.json", '{"a":[1]}\n\n{"a":[2]}')), [
    { line: 1, value: { a: [1] } },
    { line: 3, value: { a: [2] } },
  ]);
  assert.deepEqual(await both(file("one.json", '{"messages":[]}\n')), [{ line: 1, value: { messages: [] } }]);
  assert.deepEqual(await both(file("none.json", "[]")), []);
});

void test("a document that is broken around its rows is refused; a broken row is one bad row", async () => {
  const cases: [string, string | RegExp][] = [
    ['[{"a":1},{"a":2}', "not JSON: the file ends before it does (2 rows are whole)"],
    ['[{"a":1} {"a":2}]', "not JSON: two values without a comma between them after row 1"],
    ['[{"a":1},]', "not JSON: a comma without a value behind it after row 1"],
    ['[,{"a":1}]', "not JSON: a comma without a value before it before the first row"],
    ['[{"a":1}]\n[{"a":2}]', "not JSON: text after its end after row 1"],
    ['{"a":[1],"b":[2]}', /expected an array of rows, or an object with one array in it/],
    ['{\n"a":1}', /expected an array of rows, or an object with one array in it/],
    ["hello", /expected an array of rows/],
  ];
  for (const [text, message] of cases) {
    const path = file("broken.json", text);
    const expected = typeof message === "string" ? `${path}: ${message}` : message;
    await assert.rejects(rows(path), { name: "UserError", message: expected });
    await assert.rejects(openRows([path]), { name: "UserError", message: expected });
  }
  const [first, second] = await both(file("row.json", '[{"a":1}, {"a":NaN}]'));
  assert.deepEqual(first, { line: 1, value: { a: 1 } });
  assert.match(second!.bad!, /^not JSON: NaN is no JSON value; write null/);
});

void test("a row beyond the limit is bad, however it is packed, and takes no memory", async () => {
  const long = `{"text":"${"x".repeat(maxRowBytes)}"}`;
  const bad = "more than 16 MiB in one row, which is the limit";
  const good = '{"text":"y"}';
  for (const [name, content] of [
    ["long.jsonl", `${long}\n${good}`],
    ["long.jsonl.gz", gzipSync(`${long}\n${good}`)],
    ["long.json", `[${long}, ${good}]`],
  ] as const)
    assert.deepEqual(await both(file(name, content)), [
      { line: 1, bad },
      { line: 2, value: { text: "y" } },
    ]);
  await assert.rejects(rows(file("long.csv", `text\n"${"x,".repeat(maxRowBytes)}\n`)), {
    name: "UserError",
    message: /long\.csv: more than 16 MiB in one row.*Perhaps a quote isn't closed/s,
  });
  // A bomb: 400 MB in one line of an archive of 400 kB.
  const before = process.memoryUsage.rss();
  const store = await openRows([file("bomb.jsonl.gz", gzipSync(Buffer.alloc(400 * 2 ** 20, "x")))]);
  assert.equal(store.length, 1);
  assert.ok(process.memoryUsage.rss() - before < 600 * 2 ** 20);
  store.close();
});

void test("a bomb of white space is refused before a row, and passed over between lines", async () => {
  const space = Buffer.alloc(100 * 2 ** 20, " ");
  for (const [name, text] of [
    ["space.jsonl.gz", ""],
    ["space.json.gz", '{"a":1}\n'],
  ] as const)
    await assert.rejects(rows(file(name, gzipSync(Buffer.concat([Buffer.from(text), space])))), {
      name: "UserError",
      message:
        /space\.jsonl?\.gz: more than 16 MiB at its beginning have no row, or only one, in white space/,
    });
  const between = Buffer.concat([Buffer.from('{"a":1}\n'), space, Buffer.from('\n{"a":2}')]);
  assert.deepEqual(await values(file("between.jsonl.gz", gzipSync(between))), [{ a: 1 }, { a: 2 }]);
});

void test("rows that were unpacked lie in a file without a name when they are many", async () => {
  const text = "z".repeat(1 << 20);
  const many = Array.from({ length: 80 }, (_, i) => JSON.stringify({ i, text }));
  const store = await openRows([file("many.jsonl.gz", gzipSync(many.join("\n"), { level: 1 }))]);
  for (const i of [79, 0, 41]) {
    const row = parseRow(store.get(i));
    assert.deepEqual("value" in row && row.value, { i, text });
  }
  store.close();
  assert.throws(() => store.get(0), { message: "rows are read after their data set was closed" });
});

void test("a file that is rewritten while it is read is never read at the old places", async () => {
  const lines = (text: string): string =>
    Array.from({ length: 9 }, (_, i) => `{"text":"${text}${i}"}\n`).join("");
  const rewrite = {
    "in place, of the same size": (path: string) => writeFileSync(path, lines("b")),
    "by other lines added": (path: string) => appendFileSync(path, "{}\n"),
    "cut off": (path: string) => truncateSync(path, 20),
  };
  for (const [how, change] of Object.entries(rewrite)) {
    const path = file("changing.jsonl", lines("a"));
    const store = await openRows([path]);
    assert.deepEqual(store.get(8), { file: path, line: 9, text: '{"text":"a8"}' });
    await new Promise((resolve) => setTimeout(resolve, 10)); // the file system's clock has steps
    change(path);
    for (const row of [0, 8])
      assert.throws(
        () => store.get(row),
        {
          name: "UserError",
          message: new RegExp(`^${path} was changed while it is read, so rows would be taken`),
        },
        how,
      );
    store.close();
  }
  // Another file of that name is another file: the open one is read to its end.
  const path = file("replaced.jsonl", lines("a"));
  const store = await openRows([path]);
  renameSync(file("new.jsonl", lines("b")), path);
  assert.deepEqual(store.get(1), { file: path, line: 2, text: '{"text":"a1"}' });
  store.close();
});

void test("many files take few descriptors, and one that was replaced meanwhile is refused", async () => {
  const paths = Array.from({ length: 150 }, (_, i) => file(`many/${i}.jsonl`, `{"text":"${i}"}\n`));
  const store = await openRows(paths);
  if (process.platform === "linux") assert.ok(openFilesIn(join(dir, "many")).length <= 64);
  for (const i of [0, 149, 70, 0])
    assert.deepEqual((store.get(i) as { text: string }).text, `{"text":"${i}"}`);
  renameSync(file("many/other", '{"text":"x"}\n'), paths[1]!);
  assert.throws(() => store.get(1), {
    name: "UserError",
    message: /many\/1\.jsonl was changed while it is read/,
  });
  store.close();
  assert.deepEqual(openFilesIn(join(dir, "many")), []);
});
