import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import type { ModelConfig } from "./families/index.ts";
import { notHonoured, parseModelConfig, readModelConfig } from "./read-config.ts";

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
  assert.equal(parse({}).ropes[0]!.theta, 10_000);
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
    assert.deepEqual(parse(changes).ropes, [{ dim: 8, theta: 5e5, scaling: expected }]);
  }
  assert.equal(parse({ rope_scaling: null }).ropes[0]!.scaling, undefined);
});

void test("what can't be computed is refused by name", () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [
      { model_type: "gpt2" },
      /^config\.json: model_type: expected one of llama, .* found "gpt2"\. The nearest is llama/,
    ],
    [{ hidden_act: "relu" }, /hidden_act: expected one of silu, .*, found "relu"/],
    [{ hidden_size: undefined }, /hidden_size: expected a number, found undefined/],
    [{ vocab_size: 0 }, /vocab_size: expected a whole number above 0, found 0/],
    [{ num_key_value_heads: 3 }, /num_attention_heads \(8\) must be a multiple of num_key_value_heads \(3\)/],
    [{ head_dim: 7 }, /head_dim: expected an even whole number, found 7/],
    [
      { partial_rotary_factor: 0.4 },
      /partial_rotary_factor: expected a share of head_dim \(8\) .*, found 0\.4/,
    ],
    [
      { rope_scaling: { rope_type: "axial", factor: 4 } },
      /rope_scaling\.rope_type: expected default, linear, .* or llama3, found "axial"/,
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

void test("a family that isn't there: the nearest is named, and what of config.json it has no use for", () => {
  const said = (changes: Record<string, unknown>): string => {
    try {
      parse(changes);
    } catch (error) {
      return (error as Error).message;
    }
    return "nothing";
  };
  assert.match(
    said({ model_type: "deepseek_v2", qk_nope_head_dim: 64, num_key_value_heads: 8, aux_loss_alpha: 0.1 }),
    /^config\.json: model_type: expected one of llama, mistral, .*, found "deepseek_v2"\. The nearest is .*; what differs: it has no .*aux_loss_alpha.*\. `npx torchforge models` tells more of each$/,
  );
  assert.match(
    said({ model_type: "qwen9", num_key_value_heads: 2, attention_bias: false }),
    /The nearest is qwen2 \(Qwen2, Qwen2\.5\); config\.json has no key that it lacks/,
  );
  assert.match(said({ model_type: "llamax", hidden_act: "relu" }), /hidden_act: expected one of silu/);
});

void test("experts: in which layers, how many a token goes to, when their load is balanced", () => {
  const qwen = { model_type: "qwen3_moe", num_experts: 6, num_experts_per_tok: 2, moe_intermediate_size: 24 };
  const of = (changes: Record<string, unknown>) => parse({ ...qwen, ...changes }).moe;
  assert.deepEqual(of({}), {
    numExperts: 6,
    expertsPerToken: 2,
    intermediateSize: 24,
    normTopkProb: false,
    auxLossCoef: 0,
    scores: "softmax",
    groups: undefined,
    weightScale: 1,
    shared: undefined,
    layers: [true, true, true, true],
    names: {
      router: "mlp.gate",
      experts: "mlp.experts",
      gate: "gate_proj",
      up: "up_proj",
      down: "down_proj",
    },
  });
  assert.deepEqual(of({ decoder_sparse_step: 2, mlp_only_layers: [1] })!.layers, [false, false, false, true]);
  assert.equal(of({ decoder_sparse_step: 5 }), undefined);
  assert.equal(of({ norm_topk_prob: true })!.normTopkProb, true);
  assert.equal(of({ router_aux_loss_coef: 0.02 })!.auxLossCoef, 0);
  assert.equal(of({ output_router_logits: true, router_aux_loss_coef: 0.02 })!.auxLossCoef, 0.02);
  // As Transformers 5 writes it.
  assert.equal(of({ num_experts: undefined, num_local_experts: 4 })!.numExperts, 4);
  const mixtral = parse({ model_type: "mixtral" }).moe!;
  assert.deepEqual(
    [mixtral.numExperts, mixtral.expertsPerToken, mixtral.intermediateSize, mixtral.normTopkProb],
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

void test("sizes that can't be, and models of other kinds, are refused at once", () => {
  const refused: [Record<string, unknown>, RegExp][] = [
    [
      { num_hidden_layers: 1e9 },
      /^config\.json: num_hidden_layers: expected at most 10000, found 1000000000$/,
    ],
    [{ vocab_size: 1e12 }, /vocab_size: expected at most 100000000, found 1000000000000$/],
    [{ hidden_size: 2 ** 40 }, /hidden_size: expected at most/],
    [{ num_attention_heads: 1e8 }, /num_attention_heads: expected at most/],
    [{ model_type: "mixtral", num_local_experts: 1e9 }, /num_local_experts: expected at most 100000, found/],
    [{ num_hidden_layers: null }, /num_hidden_layers: expected a number, found null/],
    [{ vocab_size: -1 }, /vocab_size: expected a whole number above 0, found -1/],
    [{ quantization_config: { quant_method: "awq" } }, /found a model quantized by awq/],
    [
      { model_type: "llava", text_config: { model_type: "opt" }, vision_config: {} },
      /model_type: expected a language model, found "llava", which takes images or sound as well \(its text part is of the type opt\)/,
    ],
    [
      { model_type: "llava", text_config: { model_type: "llama" }, vision_config: {} },
      /^config\.json: text_config\.hidden_size: expected a number, found undefined/,
    ],
  ];
  for (const [changes, message] of refused)
    assert.throws(() => parse(changes), { name: "UserError", message });
  const folder = mkdtempSync(join(tmpdir(), "torchforge-config-"));
  try {
    writeFileSync(join(folder, "adapter_config.json"), "{}");
    assert.throws(() => readModelConfig(folder), /found none in .*\. It holds an adapter \(LoRA\)/);
    writeFileSync(join(folder, "config.json"), "null");
    assert.throws(() => readModelConfig(folder), /config\.json: expected a JSON object, found null/);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

void test("what config.json says of training and isn't done here is told", () => {
  const folder = mkdtempSync(join(tmpdir(), "torchforge-config-"));
  try {
    const told = (json: Record<string, unknown>): string[] => {
      writeFileSync(join(folder, "config.json"), JSON.stringify(json));
      return notHonoured(folder);
    };
    assert.deepEqual(told({ attention_dropout: 0, resid_pdrop: null, pretraining_tp: 1 }), []);
    assert.deepEqual(told({ attention_dropout: 0.1, resid_pdrop: 0.2 }), [
      "attention_dropout is 0.1 in config.json, and isn't applied here: training goes on without it",
      "resid_pdrop is 0.2 in config.json, and isn't applied here: training goes on without it",
    ]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
