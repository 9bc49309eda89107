// GLM-4.5 and 4.6: half of each head is rotated; experts that a sigmoid scores, one of all tokens, and the first layers without.
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import { readGroupedMoe, readLayersBeyond } from "./moe-config.ts";

export const glm4Moe: Family = {
  modelType: "glm4_moe",
  models: "GLM-4.5, GLM-4.6",
  differs: "experts that a sigmoid scores, in groups, with a correction; one of all tokens",
  limits: [
    "adapters of experts",
    "the layer that predicts a second token: it isn't trained, and exports lack it",
  ],
  read(json) {
    const config = readDecoder(json, {
      kvHeads: 8,
      maxPositions: 131_072,
      normEps: 1e-5,
      partialRotary: 0.5,
    });
    return {
      ...config,
      qkvBias: json.flag("attention_bias", false),
      qkNorm: json.flag("use_qk_norm", false),
      ...readLayersBeyond(json),
      moe: readGroupedMoe(json, config.numLayers, {
        experts: 128,
        perToken: 8,
        size: 1408,
        dense: 1,
        groups: 1,
        scale: 1,
      }),
    };
  },
  flavors: {
    glm4_moe: {
      "106B-A12B": flavor(4096, 46, 96, 8, 10944, 151552, {
        moe: { numExperts: 128, expertsPerToken: 8, intermediateSize: 1408 },
        json: { head_dim: 128, attention_bias: true },
      }),
      "355B-A32B": flavor(5120, 92, 96, 8, 12288, 151552, {
        moe: { numExperts: 160, expertsPerToken: 8, intermediateSize: 1536 },
        json: {
          head_dim: 128,
          attention_bias: true,
          use_qk_norm: true,
          first_k_dense_replace: 3,
          routed_scaling_factor: 2.5,
        },
      }),
    },
  },
};
