// What messages about data advise helps: each way out that one names is gone, and the first batch comes without that message.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";

import { Config } from "../../config/index.ts";
import { firstBatches } from "./first-batches.ts";

const dir = mkdtempSync(join(tmpdir(), "torchforge-advice-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const write = (name: string, text: string): string => {
  mkdirSync(join(dir, name, ".."), { recursive: true });
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};
const rows = (name: string, ...all: unknown[]): string =>
  write(name, all.map((row) => `${JSON.stringify(row)}\n`).join(""));

const fixture = join(import.meta.dirname, "../../../test/fixtures/data/qwen-style.json.gz");
const qwen = JSON.parse(gunzipSync(readFileSync(fixture)).toString()) as Record<string, object>;
const chatml = (content: string): string =>
  `{% for m in messages %}<|im_start|>{{ m.role }}\n{{ ${content} }}<|im_end|>\n{% endfor %}`;
const whole = chatml("m.content");
const model = (name: string, template?: string): string => {
  write(`${name}/config.json`, "{}");
  write(`${name}/tokenizer.json`, JSON.stringify(qwen["tokenizer"]));
  const { chat_template: _, ...config } = qwen["config"] as Record<string, unknown>;
  write(
    `${name}/tokenizer_config.json`,
    JSON.stringify(template === undefined ? config : { ...config, chat_template: template }),
  );
  return join(dir, name);
};
const chat = model("chat", whole);
const base = model("base");
const cutting = model("cutting", chatml("m.content.split('</think>')[-1]"));
const template = write("template.jinja", whole);

const turn = (answer: string, question = "hi") => ({
  messages: [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ],
});
const good = rows("good.jsonl", turn("one"), turn("two"));
const long = rows("long.jsonl", turn("one"), turn("word ".repeat(80)));
const bad = rows("bad.jsonl", turn("one"), { messages: "none" });
const asked = rows("asked.jsonl", { messages: [{ role: "user", content: "hi" }] });
const thinking = rows("thinking.jsonl", turn("<think>\nhm\n</think>\nfour"));
const pairs = rows("pairs.jsonl", { prompt: "a", completion: "b" });
const odd = rows("odd.jsonl", { question: "a", answer: "b" });
const copies = join(dir, "copies");
rows("copies/rows.jsonl", turn("one"));
const csv = write("copies/rows.csv", "prompt,completion\na,b\n");
const splits = join(dir, "splits");
rows("splits/train.jsonl", turn("one"));
rows("splits/test.jsonl", turn("one"));
const function_ = write(
  "rows.mjs",
  "export const toMessages = (row) => [{ role: 'user', content: row.question }, { role: 'assistant', content: row.answer }];\n",
);
const script = write("bare.sh", "echo\n");

/** Overrides that are wrong, what the message advises, and the overrides of each way out. */
const advised: readonly [string, readonly string[], RegExp, readonly (readonly string[])[]][] = [
  [
    "no data",
    [],
    /Give e\.g\. training\.dataset=rows\.jsonl, or training\.datasets for a split/,
    [[`training.dataset=${good}`], [`training.datasets=[{path: ${good}, split: "train[:50%]"}]`]],
  ],
  [
    "a row that is too long",
    [`training.dataset=${long}`, "training.seq_len=32", "training.on_overlong=error"],
    /Raise training\.seq_len, or set training\.on_overlong to truncate or drop/,
    [["training.seq_len=256"], ["training.on_overlong=truncate"], ["training.on_overlong=drop"]],
  ],
  [
    "a bad row",
    [`training.dataset=${bad}`],
    /leave such rows out and count them with training\.on_bad_row: skip/,
    [["training.on_bad_row=skip"]],
  ],
  [
    "no chat template",
    [`model.hf_assets_path=${base}`, `training.dataset=${good}`],
    /name a template with model\.chat_template \(a file or its text\), or give "prompt" and "completion" columns/,
    [
      [`model.hf_assets_path=${chat}`],
      [`model.chat_template=${template}`],
      [`model.chat_template=${JSON.stringify(whole)}`],
      [`training.dataset=${pairs}`],
    ],
  ],
  [
    "a template that the model doesn't have",
    [`training.dataset=${good}`, "model.chat_template=tools"],
    /expected the name of one of the model's chat templates \(default\), a file, or a template's text, found "tools"/,
    [
      ["model.chat_template=default"],
      [`model.chat_template=${template}`],
      [`model.chat_template=${JSON.stringify(whole)}`],
    ],
  ],
  [
    "a template that leaves something out",
    [`model.hf_assets_path=${cutting}`, `training.dataset=${thinking}`],
    /model\.chat_template takes another template/,
    [[`model.chat_template=${template}`]],
  ],
  [
    "nothing that is trained",
    [`training.dataset=${asked}`],
    /training\.train_on and training\.datasets\[\]\.format say what should be/,
    [["training.train_on=all"]],
  ],
  [
    "fewer rows than ranks",
    [`training.dataset=${good}`, "processes.procs=4"],
    /give more rows, or lower parallelism\.data_parallel_replicate_degree or data_parallel_shard_degree/,
    [
      [`training.dataset=${long}`, "processes.procs=2"],
      ["parallelism.data_parallel_shard_degree=2", "parallelism.tensor_parallel_degree=2"],
    ],
  ],
  [
    "columns of no known form",
    [`training.dataset=${odd}`],
    /Name the format \(format: alpaca\) and map the columns \(columns: \{instruction: question, output: answer\}\)/,
    [
      [
        "~training.dataset",
        `training.datasets=[{path: ${odd}, format: alpaca, columns: {instruction: question, output: answer}}]`,
      ],
    ],
  ],
  [
    "copies in several formats",
    [`training.dataset=${copies}`],
    /Where they have other rows, name the files, or list them in training\.datasets/,
    [
      [`training.dataset=${csv}`],
      [
        "~training.dataset",
        `training.datasets=[{path: ${join(copies, "rows.jsonl")}}, {path: ${csv}, format: prompt_completion}]`,
      ],
    ],
  ],
  [
    "a split of a single file",
    [`training.datasets=[{path: ${good}, split: test}]`],
    /Name the file of that split instead, or take a part: train\[95%:\]/,
    [
      [`training.datasets=[{path: ${splits}, split: test}]`],
      [`training.datasets=[{path: ${good}, split: "train[50%:]"}]`],
    ],
  ],
  [
    "what isn't there",
    [`training.dataset=${join(dir, "absent")}`],
    /Expected a path to .*, a folder of them, or a data set's name on the hub/,
    [[`training.dataset=${good}`], [`training.dataset=${splits}`]],
  ],
  [
    "a function that isn't there",
    [`training.dataset=${odd}`, `training.message_transform=${function_}#rows`],
    /exports no function rows \(.*toMessages/,
    [[`training.message_transform=${function_}#toMessages`]],
  ],
  [
    "a file of another kind",
    [`training.dataset=${script}`],
    /is not a data file; expected/,
    [[`training.dataset=${good}`]],
  ],
];

/** What is said of the first batch: warnings, and the error that ends it. */
async function saidOf(overrides: readonly string[]): Promise<string> {
  const said: string[] = [];
  try {
    const { spec } = Config.create(
      { model: { hf_assets_path: chat }, training: { seq_len: 256, packed: false, on_overlong: "truncate" } },
      { overrides },
    );
    const { batches } = await firstBatches(spec, 1, (warning) => void said.push(warning));
    assert.ok(batches[0]!.trainedTokens > 0);
  } catch (error) {
    assert.equal((error as Error).name, "UserError", String(error));
    said.push((error as Error).message);
  }
  return said.join("\n");
}

for (const [title, wrong, advice, ways] of advised)
  test(title, { timeout: 60_000 }, async () => {
    assert.match(await saidOf(wrong), advice);
    for (const way of ways) assert.equal(await saidOf([...wrong, ...way]), "", way.join(" "));
  });
