// Models as GGUF and back: the weights, the configuration and the tokenizer are the same.
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { loadWeights } from "../../src/checkpoint/index.ts";
import { fillFromGguf } from "../../src/export/gguf/reload.ts";
import { exportGguf } from "../../src/export/index.ts";
import { importGguf, openGguf } from "../../src/gguf/index.ts";
import { Decoder, readModelConfig } from "../../src/models/index.ts";
import { noGrad, scope } from "../../src/torch/index.ts";
import { openModelWeights } from "../../src/safetensors/index.ts";

const fixtures = join(import.meta.dirname, "fixtures");
const work = mkdtempSync(join(tmpdir(), "torchforge-gguf-export-"));
after(() => rmSync(work, { recursive: true }));

const names = ["llama3", "llama-bias", "llama-spm", "qwen2", "qwen3"];
const folderOf = (name: string): string => {
  const folder = join(work, name);
  if (!existsSync(folder)) importGguf(join(fixtures, `${name}.gguf`), folder);
  return folder;
};
const json = (...path: string[]): unknown => JSON.parse(readFileSync(join(...path), "utf8"));

for (const name of names)
  test(`${name}: exported in float32 and imported again it is the same model`, async () => {
    const folder = folderOf(name);
    const { files } = await exportGguf(folder, { types: ["F32"], outputFolder: join(work, "out") });
    assert.match(files[0]!.parity, /largest difference of logits 0\.0e\+0 .*greedy tokens agree 100\.0 %/);
    const again = join(work, `${name}-again`);
    importGguf(files[0]!.file, again);
    using before = openModelWeights(folder);
    using found = openModelWeights(again);
    assert.deepEqual([...found.names].sort(), [...before.names].sort());
    for (const tensor of before.names) assert.deepEqual(found.read(tensor), before.read(tensor), tensor);
    for (const file of ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"])
      assert.deepEqual(json(again, file), json(folder, file), file);
  });

test("types of fewer bits are as large as they should be, and compute nearly the same", async () => {
  const types = ["BF16", "F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0"] as const;
  const { files } = await exportGguf(folderOf("qwen3"), {
    types,
    outputFolder: join(work, "out"),
    name: "small",
  });
  assert.deepEqual(
    files.map(({ type }) => type),
    types,
  );
  const kinds = files.map(({ file }) => {
    using opened = openGguf(file);
    return opened.tensors.find(({ name }) => name === "blk.0.ffn_up.weight")!.type;
  });
  // Its rows are shorter than a super-block.
  assert.deepEqual(kinds, ["BF16", "F16", "Q8_0", "Q8_0", "Q5_1", "Q5_0", "Q4_0"]);
});

test("what can't be written is told before anything is", async () => {
  const folder = join(work, "unknown-cut");
  cpSync(folderOf("qwen2"), folder, { recursive: true });
  const tokenizer = json(folder, "tokenizer.json") as { pre_tokenizer: unknown };
  tokenizer.pre_tokenizer = {
    type: "ByteLevel",
    add_prefix_space: true,
    trim_offsets: true,
    use_regex: true,
  };
  writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(tokenizer));
  const to = { types: ["F32"] as const, outputFolder: join(work, "none") };
  await assert.rejects(exportGguf(folder, to), {
    name: "UserError",
    message: /name for llama\.cpp isn't known.*--pre-tokenizer NAME/,
  });
  await assert.rejects(
    exportGguf(folderOf("qwen2"), { ...to, outputFolder: join(work, "out"), name: "qwen3" }),
    {
      name: "UserError",
      message: /qwen3-F32\.gguf: is there already/,
    },
  );
  const quantized = join(work, "quantized");
  cpSync(folderOf("qwen2"), quantized, { recursive: true });
  const quantization_config = {
    quant_method: "bitsandbytes",
    load_in_4bit: true,
    bnb_4bit_quant_type: "nf4",
  };
  const config = json(quantized, "config.json") as object;
  writeFileSync(join(quantized, "config.json"), JSON.stringify({ ...config, quantization_config }));
  await assert.rejects(exportGguf(quantized, to), { name: "UserError", message: /is quantized already/ });
  const experts = join(import.meta.dirname, "../fixtures/models/mixtral");
  await assert.rejects(exportGguf(experts, to), { name: "UserError", message: /GGUF is written of Llama/ });
  assert.ok(!existsSync(to.outputFolder));
  // Given by hand it is written.
  const { files } = await exportGguf(folder, { ...to, preTokenizer: "gpt-2" });
  using file = openGguf(files[0]!.file);
  assert.equal(file.metadata.get("tokenizer.ggml.pre"), "gpt-2");
});

test("a file that isn't the model's is told: other weights, weights that are no numbers, one too few", async () => {
  const folder = folderOf("qwen2");
  const { files } = await exportGguf(folder, { types: ["F32"], outputFolder: join(work, "other") });
  using _ = scope();
  const model = new Decoder(readModelConfig(folder));
  const { file } = files[0]!;
  const tied = new Map([["lm_head.weight", "model.embed_tokens.weight"]]);
  const own = model.parameters.get("model.layers.0.mlp.up_proj.weight")!;
  const load = (): unknown => loadWeights(folder, model.parameters, { tied });
  load();
  fillFromGguf(file, model, tied);
  for (const change of [() => own.mul_(1.5), () => own.fill_(Number.NaN)]) {
    load();
    noGrad(change);
    assert.throws(() => fillFromGguf(file, model, tied), {
      name: "UserError",
      message: /blk\.0\.ffn_up\.weight isn't the model's model\.layers\.0\.mlp\.up_proj\.weight in F32/,
    });
  }
  load();
  const more = new Map([...model.parameters, ["model.layers.9.mlp.up_proj.weight", own]]);
  assert.throws(() => fillFromGguf(file, { parameters: more } as Decoder, tied), {
    name: "UserError",
    message: /lacks the model's model\.layers\.9\.mlp\.up_proj\.weight/,
  });
});
