import assert from "node:assert/strict";
import { test } from "node:test";

import { parseModelConfig, type ModelConfig } from "../../models/index.ts";
import { modelDifferences } from "./saved-run.ts";

const json = {
  model_type: "mixtral",
  vocab_size: 128,
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_local_experts: 4,
  rope_theta: 10000,
};
/** As a checkpoint has it. */
const saved = (more: object = {}): ModelConfig =>
  JSON.parse(JSON.stringify(parseModelConfig({ ...json, ...more }, "config.json"))) as ModelConfig;

test("what differs is named as config.json has it; positions don't count", () => {
  assert.deepEqual(modelDifferences(saved(), saved({ max_position_embeddings: 99 })), []);
  assert.deepEqual(modelDifferences(saved(), saved({ rope_theta: 500000, num_local_experts: 8 })), [
    "rope_theta: 10000 → 500000",
    "moe.num_experts: 4 → 8",
  ]);
  const scaled = saved({ rope_scaling: { rope_type: "linear", factor: 2 } });
  assert.deepEqual(modelDifferences(saved(), scaled), ['rope_scaling: null → {"kind":"linear","factor":2}']);
});

test("a checkpoint of the form before: one rotary embedding, and fewer keys", () => {
  const { ropes: _, ropeOfLayer: __, norms: ___, ...rest } = saved();
  const { layers, names, ...moe } = rest.moe!;
  const before = { ...rest, ropeTheta: 10000, moe: { ...moe, layers, names: { router: names.router } } };
  assert.deepEqual(modelDifferences(before as unknown as Partial<ModelConfig>, saved()), []);
  assert.deepEqual(modelDifferences(before as unknown as Partial<ModelConfig>, saved({ rope_theta: 5 })), [
    "rope_theta: 10000 → 5",
  ]);
});
