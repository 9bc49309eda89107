import assert from "node:assert/strict";
import { test } from "node:test";

import { modelOfFlavor } from "./flavor-config.ts";
import { countParameters } from "./model-config.ts";

// Of the checkpoints on the hub, as their safetensors headers sum up.
for (const [name, flavor, parameters] of [
  ["llama3", "8B", 8_030_261_248],
  ["llama3", "1B", 1_235_814_400],
  ["smollm2", "135M", 134_515_008],
  ["qwen2", "0.5B", 494_032_768],
  ["qwen3", "0.6B", 596_049_920],
  ["qwen3_moe", "30B-A3B", 30_532_122_624],
  ["qwen3_moe", "235B-A22B", 235_093_634_560],
] as const)
  void test(`${name} ${flavor} has as many parameters as its checkpoint`, () => {
    assert.equal(countParameters(modelOfFlavor(name, flavor)), parameters);
  });
