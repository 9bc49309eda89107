// Runs that train a part of a model: frozen parameters and adapters, their checkpoints, and what is refused of them.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { Config } from "../../src/config/index.ts";
import { readModelConfig } from "../../src/models/index.ts";
import { openSafetensors } from "../../src/safetensors/index.ts";
import { trainedBlocks } from "../../src/train/assembly/trained-blocks.ts";
import { readJsonObject } from "../../src/util/index.ts";
import { remains, trainingProcess } from "./processes.ts";
import { makeTinyConfig, makeTinyModel } from "./tiny.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-adapters-"));
test.after(() => rmSync(work, { recursive: true, force: true }));
const steps = 6;
const model = makeTinyModel(join(work, "model"));
const config = makeTinyConfig(work, model, steps);
const step = (name: string, number: number | string): string =>
  join(work, "outputs", name, "checkpoint", `step-${number}`);

function namesIn(file: string): string[] {
  using source = openSafetensors(file);
  return [...source.names].sort();
}

/** A copy of the run as it was after its third step. */
function stopped(name: string, from: string): void {
  cpSync(join(work, "outputs", from), join(work, "outputs", name), { recursive: true });
  for (const one of readdirSync(join(work, "outputs", name, "checkpoint")))
    if (one !== "step-3") rmSync(join(work, "outputs", name, "checkpoint", one), { recursive: true });
}

async function resumesExactly(name: string, overrides: readonly string[]): Promise<void> {
  await trainingProcess([config, `job.name=${name}`, ...overrides]);
  stopped(`${name}-resumed`, name);
  const { lines } = await trainingProcess([config, `job.name=${name}-resumed`, ...overrides]);
  assert.ok(lines.some((line) => line.startsWith("note resumes after step 3 of 6")));
  const [straight, resumed] = [name, `${name}-resumed`].map((one) =>
    remains(join(work, "outputs", one), steps),
  );
  assert.deepEqual(resumed, straight);
}

void test("frozen parameters have no state, and resume exactly", { timeout: 120_000 }, async () => {
  await resumesExactly("frozen", [`training.trainable=["layers[-1:].mlp", "*norm*"]`]);
  const states = namesIn(join(step("frozen", 6), "optimizer.safetensors"));
  const trained = [...new Set(states.map((name) => name.replace(/\.(exp_avg|exp_avg_sq|step)$/, "")))];
  assert.deepEqual(trained, [
    "model.layers.0.input_layernorm.weight",
    "model.layers.0.post_attention_layernorm.weight",
    "model.layers.1.input_layernorm.weight",
    "model.layers.1.mlp.down_proj.weight",
    "model.layers.1.mlp.gate_proj.weight",
    "model.layers.1.mlp.up_proj.weight",
    "model.layers.1.post_attention_layernorm.weight",
    "model.norm.weight",
  ]);
  assert.ok(namesIn(join(step("frozen", 6), "model.safetensors")).includes("model.embed_tokens.weight"));
});

const lora = ["adapter.method=lora", "adapter.rank=4", "adapter.dropout=0.1"];

for (const mode of ["selective", "full"])
  void test(
    `an adapter with dropout resumes exactly, checkpointing ${mode}`,
    { timeout: 120_000 },
    async () => {
      const name = `lora-${mode}`;
      await resumesExactly(name, [...lora, `activation_checkpoint.mode=${mode}`]);
      const names = namesIn(join(step(name, 6), "model.safetensors"));
      assert.equal(names.length, 28);
      assert.ok(
        names.every((one) => /^model\.layers\.[01]\.(self_attn|mlp)\.\w+\.lora_[AB]\.weight$/.test(one)),
        "the adapter, and not its base",
      );
      if (mode === "full") {
        const [kept, again] = ["lora-selective", name].map((one) =>
          remains(join(work, "outputs", one), steps),
        );
        assert.deepEqual(again!.weights, kept!.weights, "a pass that is made again drops what it dropped");
      }
    },
  );

void test("the last save is PEFT's folder", { timeout: 120_000 }, async () => {
  const overrides = [
    "adapter.method=dora",
    "adapter.rank=4",
    "adapter.modules_to_save=[model.norm]",
    "checkpoint.last_save_in_hf=true",
  ];
  await trainingProcess([config, "job.name=peft", ...overrides]);
  const folder = step("peft", "6-hf");
  assert.deepEqual(readdirSync(folder).sort(), [
    "adapter_config.json",
    "adapter_model.safetensors",
    "state.json",
    "tokenizer.json",
    "tokenizer_config.json",
  ]);
  const names = namesIn(join(folder, "adapter_model.safetensors"));
  assert.equal(names.length, 3 * 14 + 1);
  assert.ok(names.includes("base_model.model.model.layers.1.mlp.up_proj.lora_magnitude_vector"));
  assert.ok(names.includes("base_model.model.model.norm.weight"));
  const {
    r,
    use_dora,
    target_modules,
    modules_to_save,
    base_model_name_or_path: base,
  } = readJsonObject(join(folder, "adapter_config.json"));
  assert.deepEqual([r, use_dora, modules_to_save, base], [4, true, ["model.norm"], model]);
  assert.deepEqual((target_modules as string[]).sort(), [
    "down_proj",
    "gate_proj",
    "k_proj",
    "o_proj",
    "q_proj",
    "up_proj",
    "v_proj",
  ]);

  // It goes on from there, in another run.
  const { lines } = await trainingProcess([
    config,
    "job.name=onward",
    `adapter.initial_load_path=${folder}`,
    "training.steps=1",
  ]);
  const before = readFileSync(join(work, "outputs", "peft", "metrics.jsonl"), "utf8").split("\n")[0]!;
  const [, , loss] = lines.find((line) => line.startsWith("step 1 "))!.split(" ");
  assert.ok(Number(loss) < (JSON.parse(before) as { loss: number }).loss, "it has learned");
});

const refusals: [string, string[], RegExp][] = [
  [
    "trainable",
    ["training.trainable=[nothing_here]"],
    /training\.trainable: expected parameters that "nothing_here" matches, found none\. Its 2 layers have: .*self_attn\.q_proj/,
  ],
  [
    "a tied head",
    ["training.trainable=[lm_head]"],
    /lm_head\.weight is model\.embed_tokens\.weight in this model \(tie_word_embeddings\): name that/,
  ],
  [
    "target_modules",
    ["adapter.method=lora", "adapter.target_modules=[query]"],
    /adapter\.target_modules: expected linear layers whose names end in "query", found none\. Those of this model: q_proj/,
  ],
  [
    "a norm",
    ["adapter.method=lora", "adapter.target_modules=[input_layernorm]"],
    /input_layernorm, which is none\. To train it itself, name it in adapter\.modules_to_save/,
  ],
  [
    "layers",
    ["adapter.method=lora", "adapter.layers='5:'"],
    /adapter\.target_modules: .* in adapter\.layers "5:", found none/,
  ],
  [
    "modules_to_save",
    ["adapter.method=lora", "adapter.modules_to_save=[lm_head]"],
    /adapter\.modules_to_save: lm_head is model\.embed_tokens in this model/,
  ],
  [
    "both",
    ["adapter.method=lora", "adapter.modules_to_save=[q_proj]"],
    /q_proj is among adapter\.target_modules, too/,
  ],
  ["rank alone", ["adapter.rank=4"], /adapter\.rank \(4\) does nothing with adapter\.method none/],
  [
    "both ways",
    ["adapter.method=lora", "training.trainable=[norm]"],
    /training\.trainable \(norm\) freezes the model/,
  ],
  [
    "no folder",
    ["adapter.initial_load_path=/nowhere"],
    /adapter\.initial_load_path: expected the folder of an adapter/,
  ],
];
for (const [name, overrides, message] of refusals)
  void test(`refused: ${name}`, () => {
    assert.throws(
      () => trainedBlocks(Config.fromYaml(config, { overrides }).spec, readModelConfig(model)),
      message,
    );
  });

void test("an adapter doesn't go on with another base", { timeout: 120_000 }, async () => {
  await trainingProcess([config, "job.name=based", ...lora]);
  stopped("rebased", "based");
  await trainingProcess([config, "job.name=full", "training.steps=1", "checkpoint.last_save_in_hf=true"]);
  await assert.rejects(
    trainingProcess([config, "job.name=rebased", ...lora, `model.hf_assets_path=${step("full", "1-hf")}`]),
    /model\.hf_assets_path: .*step-3 is an adapter of the weights in .*model \(digest \w{12}\), and .*step-1-hf holds others/,
  );
});
