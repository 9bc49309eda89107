// Gemma: norms scale by 1 + w, the embedding is multiplied by the root of its width, GELU instead of SiLU.
import type { ConfigReader } from "./config-reader.ts";
import { readDecoder, type DecoderDefaults } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import type { ModelConfig } from "./model-config.ts";

/** What Gemma 1 to 3 have in common. */
export function readGemma(json: ConfigReader, defaults: DecoderDefaults): ModelConfig {
  const bias = json.flag("attention_bias", false);
  const config = readDecoder(json, { activation: "gelu_pytorch_tanh", tieEmbeddings: true, ...defaults });
  return {
    ...config,
    qkvBias: bias,
    outputBias: bias,
    normOffset: 1,
    // As Transformers rounds it.
    embeddingScale: Math.fround(Math.sqrt(config.hiddenSize)),
  };
}

export const gemma: Family = {
  modelType: "gemma",
  models: "Gemma",
  differs: "GELU, norms that scale by 1 + w, a scaled embedding",
  // Old files name `hidden_act`: "gelu", and mean the approximation.
  read: (json) => ({
    ...readGemma(json, { kvHeads: 16, headDim: 256, maxPositions: 8192 }),
    activation: "gelu_tanh",
  }),
  flavors: {
    gemma: {
      "2B": flavor(2048, 18, 8, 1, 16384, 256000, { tied: true, json: { head_dim: 256 } }),
      "7B": flavor(3072, 28, 16, 16, 24576, 256000, { tied: true, json: { head_dim: 256 } }),
    },
  },
};
