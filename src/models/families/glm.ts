// GLM-4-9B as Transformers has it since 2024: half of each head is rotated, pairs of neighbours; gate and up lie in files as one.
import type { ConfigReader } from "./config-reader.ts";
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import { joinedGateUp } from "./joined.ts";
import type { ModelConfig } from "./model-config.ts";

/** What `glm` and `glm4` have in common. */
export function readGlm(json: ConfigReader): ModelConfig {
  const config = readDecoder(json, {
    kvHeads: 2,
    headDim: 128,
    maxPositions: 131_072,
    normEps: 1.5625e-7,
    partialRotary: 0.5,
  });
  return {
    ...config,
    qkvBias: json.flag("attention_bias", true),
    ropeOfPairs: true,
    joined: [joinedGateUp],
  };
}

export const glm: Family = {
  modelType: "glm",
  models: "GLM-4 of 2024",
  differs: "half of each head is rotated, in pairs; fused matrices in files",
  limits: [
    "PEFT: adapters of gate_proj and up_proj, which Transformers' fused layers don't have; `torchforge merge` takes them",
  ],
  read: readGlm,
  flavors: { glm: { "9B": flavor(4096, 40, 32, 2, 13696, 151552, { json: { head_dim: 128 } }) } },
};
