import assert from "node:assert/strict";
import test from "node:test";

import { Config } from "../../config/index.ts";
import { parseModelConfig } from "../../models/index.ts";
import { forecastMemory } from "./forecast.ts";

const model = parseModelConfig(
  {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: 100,
    hidden_size: 16,
    intermediate_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 256,
    rms_norm_eps: 1e-5,
    rope_theta: 10000,
    tie_word_embeddings: true,
  },
  "config.json",
);

void test("checkpoints written in the background take weights and moments once more, of each rank its part", () => {
  const forecast = (checkpoint: object, shard = 1) =>
    forecastMemory(
      Config.create({
        model: { hf_assets_path: "m" },
        processes: { procs: shard },
        parallelism: { data_parallel_shard_degree: shard },
        checkpoint,
      }).spec,
      model,
    );
  const plain = forecast({});
  assert.equal(plain.snapshotBytes, 0);
  for (const async_mode of ["async", "async_with_pinned_mem"]) {
    const { snapshotBytes, totalBytes } = forecast({ async_mode });
    assert.equal(snapshotBytes, plain.parameters * 4 * 3);
    assert.equal(totalBytes, plain.totalBytes + snapshotBytes);
    assert.equal(forecast({ async_mode }, 2).snapshotBytes, snapshotBytes / 2);
    assert.equal(forecast({ async_mode, enable: false }).snapshotBytes, 0);
  }
});

void test("what is offloaded lies in main memory; the device has a few layers and what they keep", () => {
  const forecast = (enable_cpu_offload: boolean) =>
    forecastMemory(
      Config.create({
        model: { hf_assets_path: "m" },
        processes: { with_gpus: true },
        training: { enable_cpu_offload, dtype: "bfloat16" },
        checkpoint: { async_mode: "async" },
      }).spec,
      model,
    );
  const [plain, offloaded] = [forecast(false), forecast(true)];
  assert.equal(plain.mainBytes, plain.snapshotBytes);
  assert.equal(offloaded.mainBytes, offloaded.snapshotBytes + offloaded.stateBytes);
  // The device is left without weights (2 bytes), moments (8) and gradients (2), but for a few layers, embedding and head.
  const saved = (plain.totalBytes - offloaded.totalBytes) / plain.parameters;
  assert.ok(saved > 8 && saved <= 12, `${saved} bytes a parameter`);
});
