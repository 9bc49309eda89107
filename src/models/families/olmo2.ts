// OLMo 2: what attention and feed-forward give is normalized, not their input; queries and keys over all heads together.
import type { ConfigReader } from "./config-reader.ts";
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import type { ModelConfig } from "./model-config.ts";

/** What OLMo 2 and 3 have in common. */
export function readOlmo(json: ConfigReader, ropeTheta: number): ModelConfig {
  const bias = json.flag("attention_bias", false);
  return {
    ...readDecoder(json, { maxPositions: 2048, normEps: 1e-5, ropeTheta }),
    qkvBias: bias,
    outputBias: bias,
    qkNorm: true,
    qkNormWhole: true,
    norms: { attentionOut: "post_attention_layernorm", feedForwardOut: "post_feedforward_layernorm" },
  };
}

export const olmo2: Family = {
  modelType: "olmo2",
  models: "OLMo 2",
  differs: "norms after attention and feed-forward, of queries and keys over all heads",
  read: (json) => readOlmo(json, 10_000),
  flavors: {
    olmo2: {
      "1B": flavor(2048, 16, 16, 16, 8192, 100352),
      "7B": flavor(4096, 32, 32, 32, 11008, 100352),
      "13B": flavor(5120, 40, 40, 40, 13824, 100352),
      "32B": flavor(5120, 64, 40, 8, 27648, 100352),
    },
  },
};
