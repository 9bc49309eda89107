import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";

const run = promisify(execFile);
const dir = mkdtempSync(join(tmpdir(), "torchforge-cli-data-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const fixture = join(import.meta.dirname, "../../../test/fixtures/data/qwen-style.json.gz");
const { tokenizer, config } = JSON.parse(gunzipSync(readFileSync(fixture)).toString()) as Record<
  string,
  object
>;
const chat_template =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
mkdirSync(join(dir, "model"));
writeFileSync(join(dir, "model/tokenizer.json"), JSON.stringify(tokenizer));
writeFileSync(join(dir, "model/config.json"), "{}");
writeFileSync(join(dir, "model/tokenizer_config.json"), JSON.stringify({ ...config, chat_template }));
const rows = Array.from({ length: 8 }, (_, i) => ({
  instruction: `Say ${i}`,
  input: "",
  output: `It is ${i}.`,
}));
writeFileSync(
  join(dir, "rows.jsonl"),
  [...rows.map((row) => JSON.stringify(row)), '{"instruction": "x"}'].join("\n"),
);
writeFileSync(
  join(dir, "run.yaml"),
  `model: {hf_assets_path: ${join(dir, "model")}}
processes: {procs: 1, with_gpus: false}
training:
  local_batch_size: 2
  seq_len: 64
  on_bad_row: skip
  datasets: [{path: ${join(dir, "rows.jsonl")}, format: instruction}]
`,
);

const forge = async (args: string[], env: Record<string, string> = { NO_COLOR: "1" }): Promise<string> => {
  const { FORCE_COLOR: _, ...clean } = process.env;
  const { stdout } = await run(
    process.execPath,
    [join(import.meta.dirname, "..", "main.ts"), "data", ...args, "--config", join(dir, "run.yaml")],
    { env: { ...clean, TORCHFORGE_CACHE: join(dir, "cache"), ...env }, timeout: 60_000 },
  );
  return stdout;
};

void suite("forge data", { timeout: 120_000 }, () => {
  void test("preview shows documents with trained text marked, in colour or without", async () => {
    const plain = await forge(["preview"]);
    assert.match(plain, /^2 sequences of 64 positions: \d+ documents/);
    assert.match(
      plain,
      /sequence 1, document 1: .*rows\.jsonl:\d, \d+ tokens, \d+ trained\n<\|im_start\|>user\nSay (\d)<\|im_end\|>\n<\|im_start\|>assistant\n/,
    );
    assert.match(plain, /«It is \d\.<\|im_end\|>»/);
    assert.match(plain, /padding, \d+ positions/);
    assert.ok(!plain.includes("\u001b["));
    const coloured = await forge(["preview"], { FORCE_COLOR: "1" });
    const answer = /It is \d\.<\|im_end\|>/.exec(coloured)![0];
    assert.ok(coloured.includes(`\u001b[32m\u001b[1m${answer}\u001b[22m\u001b[39m`));
  });

  void test("preview --html writes the page", async () => {
    const page = join(dir, "batch.html");
    assert.equal(await forge(["preview", "--batches", "2", "--html", page]), `Wrote ${page}: 2 batches.\n`);
    const html = readFileSync(page, "utf8");
    const batches = JSON.parse(/id="batches">(.*)<\/script>/.exec(html)![1]!) as { tokens: number[] }[];
    assert.deepEqual(
      batches.map(({ tokens }) => tokens.length),
      [128, 128],
    );
  });

  void test("stats balance, as text and as JSON", async () => {
    const text = await forge(["stats"]);
    assert.match(
      text,
      /rows +9\ntrained +8\ntruncated +0\ndropped +0\nbad +1\n {2}1 bad: column "output" is missing \(.*rows\.jsonl:9\)\n/,
    );
    assert.match(text, /an epoch is +\d+ steps of 2 sequences/);
    const json = JSON.parse(await forge(["stats", "--json", "training.seq_len=32"])) as Record<
      string,
      number
    >;
    assert.deepEqual([json["rows"], json["trained"], json["bad"]], [9, 8, 1]);
  });

  void test("what is wrong is said in a line, with exit code 2", async () => {
    const failing = async (...args: string[]): Promise<{ code: number; stderr: string }> => {
      try {
        await forge(args);
      } catch (error) {
        return error as { code: number; stderr: string };
      }
      throw new Error("expected a failure");
    };
    const bad = await failing("preview", "training.on_bad_row=error");
    assert.match(bad.stderr, /^error: .*rows\.jsonl:9: column "output" is missing\. Mend the row/);
    const missing = await failing("stats", "training.datasets[0].path=nowhere.jsonl");
    assert.equal(missing.code, 2);
    assert.match(missing.stderr, /^error: training\.datasets: nowhere\.jsonl was not found/);
    const none = await failing("stats", "~training.datasets");
    assert.equal(none.code, 2);
    assert.match(
      none.stderr,
      /^error: training\.dataset: expected the training data \(a file, a folder, or a data set of the hub as org\/name\), found none\. Give e\.g\. training\.dataset=rows\.jsonl/,
    );
  });
});
