// The wording in which a model was asked when it was trained stays with it: answers and evaluation use it.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { Config } from "../../src/config/index.ts";
import { alpacaPrompt } from "../../src/data/index.ts";
import { ChatModel, describeRun, Trainer } from "../../src/train/index.ts";
import { makeTinyConfig, makeTinyModel } from "./tiny.ts";

const folder = mkdtempSync(join(tmpdir(), "torchforge-wording-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const path = makeTinyConfig(folder, makeTinyModel(join(folder, "model")), 1);
const rows = join(folder, "rows.jsonl");
const row = (i: number) => JSON.stringify({ instruction: `What is ${i}?`, output: `A number, ${i}.` });
writeFileSync(rows, Array.from({ length: 20 }, (_, i) => row(i)).join("\n"));

for (const [format, question] of [
  ["auto", alpacaPrompt("Hi")],
  ["instruction", "Hi"],
] as const) {
  test(`rows of the format ${format}`, async () => {
    const config = Config.fromYaml(path, {
      overrides: [
        `job.name=${format}`,
        `training.datasets=[{path: ${rows}, format: ${format}}]`,
        `eval.datasets=[{path: ${rows}}, {path: ${rows}, format: alpaca}, {path: ${rows}, format: instruction}]`,
        "training.seq_len=128",
      ],
    });
    const trainer = await Trainer.create(config);
    const found = format === "auto" ? "alpaca" : format;
    const told = describeRun(trainer).join("\n");
    assert.ok(told.includes(`${rows} (${found}): 20 rows`), told);
    assert.equal(told.includes("questions in Alpaca's wording, as generate asks"), found === "alpaca");
    const { model, runFolder } = await trainer.train();
    const [auto, alpaca, instruction] = trainer.evaluation!.map(({ loss }) => loss);
    await trainer.close();

    const record = JSON.parse(readFileSync(join(runFolder, "run.json"), "utf8")) as { data: unknown };
    assert.deepEqual(record.data, [{ path: rows, format: found }]);
    const chat = await ChatModel.load(model!);
    assert.equal(chat.wording, found);
    const asked = chat.tokenizer.decode(chat.encodePrompt("Hi"));
    assert.equal(asked, `<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`);
    // Held-out rows whose form is found are asked as those of training are.
    assert.notEqual(alpaca, instruction);
    assert.equal(auto, found === "alpaca" ? alpaca : instruction);
  });
}

test("a model that wasn't trained here has none", async () => {
  const chat = await ChatModel.load(join(folder, "model"));
  assert.equal(chat.wording, undefined);
  assert.match(chat.tokenizer.decode(chat.encodePrompt("Hi")), /^<\|im_start\|>user\nHi<\|im_end\|>/);
});
