import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { checkFlavor, flavors } from "./flavors.ts";
import { parameterSpecs } from "./blocks-of.ts";
import { countParameters, parseModelConfig, readModelConfig, type ModelConfig } from "./model-config.ts";

const sizes = {
  vocab_size: 100,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 4,
  num_attention_heads: 8,
};
const parse = (changes: Record<string, unknown>): ModelConfig =>
  parseModelConfig({ model_type: "llama", ...sizes, ...changes }, "config.json");

void test("what config.json leaves out is what Transformers takes for the family", () => {
  const facts = (changes: Record<string, unknown>) => {
    const { numKvHeads, headDim, maxPositions, slidingWindow } = parse(changes);
    return [numKvHeads, headDim, maxPositions, slidingWindow];
  };
  assert.deepEqual(facts({}), [8, 8, 2048, undefined]);
  assert.deepEqual(facts({ model_type: "mistral" }), [8, 8, 131_072, 4096]);
  assert.deepEqual(facts({ model_type: "qwen2", num_key_value_heads: null }), [8, 8, 32_768, undefined]);
  assert.deepEqual(facts({ model_type: "qwen3", num_key_value_heads: 2 }), [2, 128, 32_768, undefined]);
  assert.equal(parse({}).ropeTheta, 10_000);
});

void test("sliding windows: null is none, Qwen's by layer, Llama's never", () => {
  const windows = (changes: Record<string, unknown>) => {
    const { slidingWindow, slidingLayers } = parse(changes);
    return [slidingWindow, slidingLayers.filter(Boolean).length];
  };
  assert.deepEqual(windows({ model_type: "mistral", sliding_window: null }), [undefined, 0]);
  assert.deepEqual(windows({ model_type: "mistral", sliding_window: 16 }), [16, 4]);
  assert.deepEqual(windows({ sliding_window: 16, use_sliding_window: true }), [undefined, 0]);
  const qwen = { model_type: "qwen2", num_key_value_heads: 2, sliding_window: 16 };
  assert.deepEqual(windows({ ...qwen, max_window_layers: 1 }), [undefined, 0]);
  assert.deepEqual(windows({ ...qwen, use_sliding_window: true }), [16, 0]);
  assert.deepEqual(windows({ ...qwen, use_sliding_window: true, max_window_layers: 1 }), [16, 3]);
  const layer_types = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"];
  assert.deepEqual(parse({ ...qwen, use_sliding_window: true, layer_types }).slidingLayers, [
    true,
    false,
    false,
    true,
  ]);
});

void test("biases: only where the family's Transformers class has them", () => {
  const biases = (changes: Record<string, unknown>) => {
    const { qkvBias, outputBias, mlpBias } = parse({ attention_bias: true, mlp_bias: true, ...changes });
    return [qkvBias, outputBias, mlpBias];
  };
  assert.deepEqual(biases({}), [true, true, true]);
  assert.deepEqual(biases({ model_type: "mistral" }), [false, false, false]);
  assert.deepEqual(biases({ model_type: "qwen2", num_key_value_heads: 8 }), [true, false, false]);
  assert.deepEqual(biases({ model_type: "qwen3", num_key_value_heads: 8 }), [true, true, false]);
});

void test("rope parameters are read in the form of Transformers 4 and of 5", () => {
  const scaling = {
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 32,
  };
  const expected = {
    kind: "llama3",
    factor: 8,
    lowFreqFactor: 1,
    highFreqFactor: 4,
    originalMaxPositions: 32,
  };
  for (const changes of [
    { rope_theta: 5e5, rope_scaling: { rope_type: "llama3", ...scaling } },
    { rope_theta: 5e5, rope_scaling: { type: "llama3", ...scaling } },
    { rope_parameters: { rope_type: "llama3", rope_theta: 5e5, ...scaling } },
  ]) {
    const { ropeTheta, ropeScaling } = parse(changes);
    assert.deepEqual([ropeTheta, ropeScaling], [5e5, expected]);
  }
  assert.equal(parse({ rope_scaling: null }).ropeScaling, undefined);
});

void test("what can't be computed is refused by name", () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ model_type: "gpt2" }, /^config\.json: model_type: expected one of llama, .* found "gpt2"$/],
    [{ hidden_act: "gelu" }, /hidden_act: expected "silu", found "gelu"/],
    [{ hidden_size: undefined }, /hidden_size: expected a number, found undefined/],
    [{ vocab_size: 0 }, /vocab_size: expected a whole number above 0, found 0/],
    [{ num_key_value_heads: 3 }, /num_attention_heads \(8\) must be a multiple of num_key_value_heads \(3\)/],
    [{ head_dim: 7 }, /head_dim: expected an even whole number, found 7/],
    [{ partial_rotary_factor: 0.5 }, /partial_rotary_factor: expected 1, found 0\.5/],
    [
      { rope_scaling: { rope_type: "yarn", factor: 4 } },
      /rope_scaling\.rope_type: expected default, linear or llama3, found "yarn"/,
    ],
    [{ rope_scaling: { rope_type: "linear" } }, /rope_scaling\.factor: expected a number, found undefined/],
    [{ tie_word_embeddings: "yes" }, /tie_word_embeddings: expected true or false, found "yes"/],
    [
      {
        model_type: "qwen3",
        num_key_value_heads: 8,
        use_sliding_window: true,
        layer_types: ["full_attention"],
      },
      /layer_types: expected one for each of the 4 layers, found \["full_attention"\]/,
    ],
  ];
  for (const [changes, message] of cases) assert.throws(() => parse(changes), { name: "UserError", message });
});

void test("experts: in which layers, how many a token goes to, when their load is balanced", () => {
  const qwen = { model_type: "qwen3_moe", num_experts: 6, num_experts_per_tok: 2, moe_intermediate_size: 24 };
  const of = (changes: Record<string, unknown>) => parse({ ...qwen, ...changes }).mixture;
  assert.deepEqual(of({}), {
    numExperts: 6,
    expertsPerToken: 2,
    intermediateSize: 24,
    normalizes: false,
    balanceCoefficient: 0,
    layers: [true, true, true, true],
  });
  assert.deepEqual(of({ decoder_sparse_step: 2, mlp_only_layers: [1] })!.layers, [false, false, false, true]);
  assert.equal(of({ decoder_sparse_step: 5 }), undefined);
  assert.equal(of({ norm_topk_prob: true })!.normalizes, true);
  assert.equal(of({ router_aux_loss_coef: 0.02 })!.balanceCoefficient, 0);
  assert.equal(of({ output_router_logits: true, router_aux_loss_coef: 0.02 })!.balanceCoefficient, 0.02);
  // As Transformers 5 writes it.
  assert.equal(of({ num_experts: undefined, num_local_experts: 4 })!.numExperts, 4);
  const mixtral = parse({ model_type: "mixtral" }).mixture!;
  assert.deepEqual(
    [mixtral.numExperts, mixtral.expertsPerToken, mixtral.intermediateSize, mixtral.normalizes],
    [8, 2, 96, true],
  );
  const refused: [Record<string, unknown>, RegExp][] = [
    [{ num_experts_per_tok: 7 }, /num_experts_per_tok: expected at most num_experts \(6\), found 7/],
    [{ router_jitter_noise: 0.1 }, /router_jitter_noise: expected 0, found 0\.1/],
    [{ mlp_only_layers: "all" }, /mlp_only_layers: expected numbers of layers, found "all"/],
  ];
  for (const [changes, message] of refused) assert.throws(() => of(changes), { name: "UserError", message });
});

void test("a folder without config.json, or with a broken one, says so", () => {
  const folder = mkdtempSync(join(tmpdir(), "torchforge-config-"));
  try {
    assert.throws(
      () => readModelConfig(folder),
      /model\.hf_assets_path: expected .* config\.json, found none/,
    );
    writeFileSync(join(folder, "config.json"), "{");
    assert.throws(() => readModelConfig(folder), /config\.json: expected JSON/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

void test("parameters are counted as they are made", () => {
  for (const changes of [
    {},
    { tie_word_embeddings: true, attention_bias: true, mlp_bias: true },
    { model_type: "qwen2", num_key_value_heads: 2 },
    { model_type: "qwen3", num_key_value_heads: 2, head_dim: 32 },
    { model_type: "mixtral", num_local_experts: 4 },
    {
      model_type: "qwen3_moe",
      num_experts: 6,
      num_experts_per_tok: 2,
      moe_intermediate_size: 24,
      decoder_sparse_step: 2,
      mlp_only_layers: [3],
    },
  ]) {
    const config = parse(changes);
    const made = [...parameterSpecs(config).values()].map(({ shape }) => shape.reduce((a, b) => a * b, 1));
    assert.equal(
      countParameters(config),
      made.reduce((a, b) => a + b, 0),
    );
  }
});

void test("names and flavors must agree with config.json", () => {
  const of = (name: string, flavor: string): ModelConfig => {
    const { mixture, ...shape } = flavors[name]!.flavors[flavor]!;
    const base = parse({
      model_type: flavors[name]!.family,
      num_key_value_heads: 8,
      num_hidden_layers: shape.numLayers,
    });
    return { ...base, ...shape, mixture: mixture && { ...base.mixture!, ...mixture } };
  };
  const llama = of("llama3", "8B");
  checkFlavor("llama3", "8B", llama);
  checkFlavor("llama3", null, llama);
  checkFlavor(null, null, llama);
  checkFlavor("llama3", "8B", { ...llama, vocabSize: llama.vocabSize + 8 });
  const cases: [string, string | null, RegExp][] = [
    ["llama4", null, /^model\.name: expected one of llama2, llama3, .* found "llama4"$/],
    ["qwen3", null, /^model\.name: qwen3 is of type qwen3, but config\.json .* says model_type llama\./],
    ["llama3", "9B", /^model\.flavor: expected one of .* for model\.name llama3, found "9B"$/],
    [
      "llama3",
      "70B",
      /^model\.flavor: llama3 70B has hidden_size 8192, but config\.json in model\.hf_assets_path says 4096\./,
    ],
  ];
  for (const [name, flavor, message] of cases)
    assert.throws(() => checkFlavor(name, flavor, llama), { name: "UserError", message });
  // The published parameter counts.
  const billions = (name: string, flavor: string, more: Partial<ModelConfig> = {}): string =>
    (countParameters({ ...of(name, flavor), headDim: 128, ...more }) / 1e9).toFixed(2);
  assert.equal(billions("llama3", "8B"), "8.03");
  assert.equal(billions("llama3", "70B"), "70.55");
  assert.equal(billions("llama3", "405B"), "405.85");
  assert.equal(billions("llama2", "7B"), "6.74");
  assert.equal(billions("mistral", "7B"), "7.24");
  assert.equal(billions("qwen2", "7B"), "7.62");
  assert.equal(billions("qwen3", "8B"), "8.19");
  assert.equal(billions("mixtral", "8x7B"), "46.70");
  assert.equal(billions("qwen3_moe", "30B-A3B"), "30.53");
  assert.equal(billions("qwen3_moe", "235B-A22B"), "235.09");
  assert.equal(billions("smollm2", "135M", { headDim: 64, tieEmbeddings: true }), "0.13");
});
