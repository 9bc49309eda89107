// Folders that people take for a model are named for what they are, with the next step.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { configText, parseKeepingNumbers } from "./json-numbers.ts";
import { otherModelFormat, readJsonObject, quantizationOf } from "./model-files.ts";

const root = mkdtempSync(join(tmpdir(), "torchforge-folders-"));
after(() => rmSync(root, { recursive: true, force: true }));

function folder(name: string, files: Record<string, string>): string {
  const path = join(root, name);
  mkdirSync(path);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  return path;
}

const formats: [string, Record<string, string>, RegExp][] = [
  [
    "adapter",
    { "adapter_config.json": '{"base_model_name_or_path":"org/base"}', "adapter_model.safetensors": "" },
    /^ It holds an adapter \(LoRA\) of org\/base: give the model that it adapts, and this folder with --adapter .*forge merge --adapter/,
  ],
  [
    "broken-adapter",
    { "adapter_config.json": "{" },
    /^ It holds an adapter \(LoRA\): give the model that it adapts/,
  ],
  [
    "gguf",
    { "model.Q4_0.gguf": "" },
    /^ Convert it with: forge import .*model\.Q4_0\.gguf --output-dir DIR$/,
  ],
  ["bin", { "pytorch_model-00001-of-00002.bin": "" }, /pickled \(\.bin\): save them as safetensors/],
  ["pth", { "consolidated.00.pth": "" }, /original code \(\.pth\)/],
  ["nothing", { "README.md": "" }, /^$/],
];
for (const [name, files, message] of formats)
  void test(`a folder of another format: ${name}`, () => {
    assert.match(otherModelFormat(folder(name, files)), message);
  });

void test("JSON files: pointers of Git LFS, other values than objects, no JSON", () => {
  const path = folder("json", {
    "lfs.json": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "null.json": "null",
    "list.json": "[1]",
    "cut.json": '{"a":',
  });
  const fails = (name: string, message: RegExp): void =>
    assert.throws(() => readJsonObject(join(path, name)), { name: "UserError", message });
  fails("lfs.json", /lfs\.json: is a pointer of Git LFS, not the file itself\. Run "git lfs pull"/);
  fails("null.json", /null\.json: expected a JSON object, found null$/);
  fails("list.json", /list\.json: expected a JSON object, found \[1\]$/);
  fails("cut.json", /cut\.json: expected JSON: /);
});

void test("a model quantized to nf4 by bitsandbytes is known, and others are refused by their method", () => {
  assert.throws(() => quantizationOf("here", { quantization_config: { quant_method: "gptq" } }), {
    message:
      "here: expected weights in a floating dtype, or in nf4 by bitsandbytes, found a model quantized by gptq. Use the model that it was made from.",
  });
  const bitsandbytes = (more: object) =>
    quantizationOf("here", { quantization_config: { quant_method: "bitsandbytes", ...more } });
  assert.throws(() => bitsandbytes({ load_in_8bit: true }), /quantized by bitsandbytes \(8 bits\)/);
  assert.throws(
    () => bitsandbytes({ load_in_4bit: true, bnb_4bit_quant_type: "fp4" }),
    /bitsandbytes \("fp4"\)/,
  );
  const nf4 = { load_in_4bit: true, bnb_4bit_quant_type: "nf4" };
  assert.deepEqual(bitsandbytes(nf4), { doubleQuant: false, skip: [] });
  assert.deepEqual(
    bitsandbytes({ ...nf4, bnb_4bit_use_double_quant: true, llm_int8_skip_modules: ["lm_head"] }),
    { doubleQuant: true, skip: ["lm_head"] },
  );
  quantizationOf("here", { quantization_config: null });
});

void test("numbers keep their text, and what is written anew has Python's types", () => {
  const text = '{\n  "router_jitter_noise": 0.0,\n  "rms_norm_eps": 1e-05,\n  "id": 12345678901234567890\n}';
  const parsed = parseKeepingNumbers(text) as Record<string, unknown>;
  assert.equal(JSON.stringify(parsed, null, 2), text);
  assert.equal(
    configText({ ...parsed, attention_dropout: 0, rope_theta: 1_000_000, vocab_size: 4 }),
    text.replace("\n}", ',\n  "attention_dropout": 0.0,\n  "rope_theta": 1000000.0,\n  "vocab_size": 4\n}\n'),
  );
});
