import assert from "node:assert/strict";
import { test } from "node:test";

import { checkFlavor, modelOfFlavor } from "./flavors.ts";
import { countParameters } from "./costs.ts";

// Of the checkpoints on the hub, as their safetensors headers sum up.
for (const [name, flavor, parameters] of [
  ["llama2", "7B", 6_738_415_616],
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

void test("the published numbers of parameters", () => {
  const billions = Object.fromEntries(
    [
      ["llama3", "70B"],
      ["llama3", "405B"],
      ["mistral", "7B"],
      ["qwen2", "7B"],
      ["qwen3", "8B"],
      ["mixtral", "8x7B"],
      ["qwen2_moe", "A2.7B"],
      ["glm4_moe", "355B-A32B"],
      ["smollm3", "3B"],
      ["olmo2", "7B"],
      ["granite", "8B"],
      ["phi3", "mini"],
      ["phi4", "14B"],
      ["glm4", "32B"],
      ["gemma2", "27B"],
      ["gemma3", "1B"],
    ].map(([name, flavor]) => [
      `${name} ${flavor}`,
      (countParameters(modelOfFlavor(name!, flavor!)) / 1e9).toFixed(2),
    ]),
  );
  assert.deepEqual(billions, {
    "llama3 70B": "70.55",
    "llama3 405B": "405.85",
    "mistral 7B": "7.24",
    "qwen2 7B": "7.62",
    "qwen3 8B": "8.19",
    "mixtral 8x7B": "46.70",
    "qwen2_moe A2.7B": "14.32",
    // Without its layer that predicts a second token.
    "glm4_moe 355B-A32B": "352.80",
    "smollm3 3B": "3.08",
    "olmo2 7B": "7.30",
    "granite 8B": "8.17",
    "phi3 mini": "3.82",
    "phi4 14B": "14.66",
    "glm4 32B": "32.57",
    "gemma2 27B": "27.23",
    "gemma3 1B": "1.00",
  });
});

void test("names and flavors must agree with config.json", () => {
  const llama = modelOfFlavor("llama3", "8B");
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
});
