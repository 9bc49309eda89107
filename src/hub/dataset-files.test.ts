// Which files are a split's: the hub's conventions, and what a README may declare.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { RepoFile } from "./api.ts";
import { filesOfSplit } from "./dataset-files.ts";
import { pathGlob } from "./glob.ts";
import { defaultIgnore, matchesPattern, modelFiles } from "./patterns.ts";

function split(paths: string[], name: string, readme?: string, config?: string): readonly string[] {
  return filesOfSplit("org/rows", paths, readme, name, config).paths;
}

void test("a split's name in a file's or a folder's name", () => {
  assert.deepEqual(
    split(["data/train-00001-of-00002-ab12.parquet", "data/train-00000-of-00002-cd34.parquet"], "train"),
    ["data/train-00000-of-00002-cd34.parquet", "data/train-00001-of-00002-ab12.parquet"],
  );
  assert.deepEqual(split(["train.jsonl", "test.jsonl", "README.md"], "test"), ["test.jsonl"]);
  assert.deepEqual(split(["train/a.csv", "train/b.csv", "val/c.csv"], "validation"), ["val/c.csv"]);
  assert.deepEqual(split(["my_dev.jsonl", "my_train.jsonl"], "dev"), ["my_dev.jsonl"]);
  assert.deepEqual(split(["my_dev.jsonl"], "validation"), ["my_dev.jsonl"]);
});

void test("splits with names of their own", () => {
  const paths = ["data/chosen-00000-of-00001.parquet", "data/rejected-00000-of-00001.parquet"];
  assert.deepEqual(split(paths, "rejected"), [paths[1]]);
  const two = ["data/train_sft-00000-of-00001.parquet", "data/train_gen-00000-of-00001.parquet"];
  assert.deepEqual(split(two, "train_gen"), [two[1]]);
  assert.throws(() => split(two, "train"), {
    message: /expected the split train, found train_sft, train_gen/,
  });
});

void test("without any split's name everything is for training", () => {
  assert.deepEqual(split(["alpaca_data_cleaned.json", "README.md", ".gitattributes"], "train"), [
    "alpaca_data_cleaned.json",
  ]);
  assert.deepEqual(split(["b.jsonl", "a.jsonl", "dataset_infos.json"], "train"), ["a.jsonl", "b.jsonl"]);
});

void test("compressed files are found as they are unpacked", () => {
  const paths = ["helpful/train.jsonl.gz", "helpful/test.jsonl.gz", "README.md"];
  assert.deepEqual(split(paths, "train"), [paths[0]]);
  assert.deepEqual(split(paths, "test"), [paths[1]]);
  assert.deepEqual(split(["train/chunk1/0.jsonl.zst"], "train"), ["train/chunk1/0.jsonl.zst"]);
  assert.deepEqual(split(["data/gen-00000-of-00001.json.gz"], "gen"), ["data/gen-00000-of-00001.json.gz"]);
  const c4 =
    "---\nconfigs:\n- config_name: en\n  data_files:\n  - split: train\n    path: en/c4-train.*.json.gz\n---\n";
  const shards = ["en/c4-train.00000-of-01024.json.gz", "en/c4-train.00001-of-01024.json.gz"];
  assert.deepEqual(
    filesOfSplit("allenai/c4", [...shards, "en/c4-validation.00000-of-00008.json.gz"], c4, "train"),
    {
      paths: shards,
      format: "json",
    },
  );
});

void test("rows that are there twice are taken once", () => {
  assert.deepEqual(split(["train.jsonl", "train.jsonl.gz", "train.csv.gz"], "train"), ["train.jsonl"]);
  assert.deepEqual(split(["train.csv", "train.jsonl", "train.parquet"], "train"), ["train.parquet"]);
});

const readme = `---
license: mit
configs:
- config_name: small
  data_files:
  - split: train
    path: "small/*.jsonl"
- config_name: large
  default: true
  data_dir: big
  data_files:
  - split: train
    path: ["a-*.parquet", "b.parquet"]
  - split: test
    path: "**/t.parquet"
---
# Rows
`;

void test("a README with Windows' line ends, a byte order mark or a key that comes twice is read as Python reads it", () => {
  const paths = ["small/x.jsonl", "big/a-1.parquet", "big/b.parquet", "train.csv"];
  for (const text of [readme.replaceAll("\n", "\r\n"), `\ufeff${readme}`, `\n${readme}`])
    assert.deepEqual(split(paths, "train", text), ["big/a-1.parquet", "big/b.parquet"]);
  const twice = readme.replace("license: mit", "license: mit\nconfigs: []\ntags: [a]\ntags: [b]");
  assert.deepEqual(split(paths, "train", twice), ["big/a-1.parquet", "big/b.parquet"]);
});

void test("what the README declares", () => {
  const paths = [
    "small/x.jsonl",
    "small/deep/y.jsonl",
    "big/a-1.parquet",
    "big/b.parquet",
    "big/deep/t.parquet",
    "train.csv",
  ];
  assert.deepEqual(split(paths, "train", readme), ["big/a-1.parquet", "big/b.parquet"]);
  assert.deepEqual(split(paths, "test", readme), ["big/deep/t.parquet"]);
  assert.deepEqual(split(paths, "train", readme, "small"), ["small/x.jsonl"]);
  assert.throws(() => split(paths, "train", readme, "medium"), {
    name: "UserError",
    message: "org/rows: expected the subset medium, found small, large",
  });
  assert.throws(() => split(paths, "validation", readme), {
    message: "org/rows: expected the split validation, found train, test",
  });
  const undecided = readme.replace("  default: true\n", "");
  assert.throws(() => split(paths, "train", undecided), {
    message: "org/rows: expected to be told which of its subsets, found small, large",
  });
  assert.deepEqual(split(["a.csv"], "train", "---\nconfigs: [null, 5]\n---\n"), ["a.csv"]);
  assert.deepEqual(split(["rows.csv", "heldout.csv"], "validation"), ["heldout.csv"]);
  assert.deepEqual(split(["x.csv"], "train", "---\nconfigs:\n- data_files: '*.csv'\n---\n"), ["x.csv"]);
});

void test("a README that declares nothing leaves it to the names", () => {
  for (const text of ["", "# Rows", "---\nlicense: mit\n---\n", "---\nconfigs: 5\n---\n"]) {
    assert.deepEqual(split(["train.jsonl"], "train", text), ["train.jsonl"]);
  }
  assert.throws(() => split(["train.jsonl"], "train", "---\na: [\n---\n"), {
    name: "UserError",
    message: /the YAML at the top of its README\.md cannot be read/,
  });
});

void test("a subset is a folder where no README says otherwise", () => {
  assert.deepEqual(split(["en/train.csv", "de/train.csv"], "train", undefined, "de"), ["de/train.csv"]);
  assert.throws(() => split(["en/train.csv"], "train", undefined, "fr"), {
    message: /expected a folder fr with files of rows, found none/,
  });
});

void test("no rows at all", () => {
  assert.throws(() => split(["README.md", "rows.py"], "train"), {
    message: "org/rows: expected the split train, found no files of rows (parquet, jsonl, json, csv)",
  });
  assert.throws(() => split(["a.xml"], "train", "---\nconfigs:\n- data_files: '*.xml'\n---\n"), {
    message: /expected the files of the split train to be of one format/,
  });
});

void test("globs", () => {
  const yes: Array<[string, string]> = [
    ["*.csv", "a.csv"],
    ["**/*.csv", "a.csv"],
    ["**/*.csv", "x/y/a.csv"],
    ["data/{train,test}-*.parquet", "data/test-1.parquet"],
    ["a-[0-9].csv", "a-7.csv"],
    ["./a.csv", "a.csv"],
    ["x/**/{a-*,**/b}[!c-]", "x/y/z/bd"],
    ["**/a", "a"],
    ["[a\u{1f44d}-\u{1f450}].csv", "\u{1f44e}.csv"],
  ];
  for (const [glob, path] of yes) assert.ok(pathGlob(glob)(path), `${glob} ${path}`);
  const no: Array<[string, string]> = [
    ["*.csv", "x/a.csv"],
    ["a.csv", "aXcsv"],
    ["a-[!0-9].csv", "a-7.csv"],
    ["a?.csv", "a.csv"],
    ["a?b", "a/b"],
    ["[z-a].csv", "b.csv"],
    [`${"**a".repeat(12)}b`, "a".repeat(200)], // would take a RegExp for ever
  ];
  for (const [glob, path] of no) assert.ok(!pathGlob(glob)(path), `${glob} ${path}`);
});

void test("patterns of files to leave out are fnmatch's", () => {
  assert.ok(matchesPattern("a/b/c.bin", "*.bin"));
  assert.ok(matchesPattern("original/x/y.pth", "original/"));
  assert.ok(matchesPattern("a+b(1).bin", "a+b(1).bin"));
  assert.ok(matchesPattern("m-7.bin", "m-[0-9].bin"));
  assert.ok(!matchesPattern("m-x.bin", "m-[0-9].bin"));
  assert.ok(matchesPattern("m-x.bin", "m-[!0-9].bin"));
  assert.ok(!matchesPattern("a.bin.txt", "*.bin"));
  assert.ok(matchesPattern("[x", "[x"));
  assert.ok(matchesPattern("m-].bin", "m-[]].bin"));
  assert.ok(!matchesPattern("m-b.bin", "m-[z-a].bin"));
  assert.ok(!matchesPattern("a".repeat(200), `${"*a".repeat(20)}b`));
});

function files(...paths: string[]): RepoFile[] {
  return paths.map((path) => ({ path, size: 1, etag: "0", hash: { kind: "git", digest: "0" } }));
}

void test("one copy of a model's weights", () => {
  assert.deepEqual(defaultIgnore(files("pytorch_model.bin")), []); // the only copy
  const all = files(
    "config.json",
    "model.safetensors",
    "consolidated.safetensors",
    "pytorch_model.bin",
    "original/params.json",
    "chat_template.jinja",
    "LICENSE",
  );
  assert.deepEqual(
    modelFiles(all).map((file) => file.path),
    ["config.json", "model.safetensors", "chat_template.jinja"],
  );
});
