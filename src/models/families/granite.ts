// Granite 3: Llama with factors for the embedding, attention's scores, what layers add, and the logits.
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";

export const granite: Family = {
  modelType: "granite",
  models: "Granite 3",
  differs: "factors for the embedding, scores, residuals and logits",
  read(json) {
    const bias = json.flag("attention_bias", false);
    return {
      ...readDecoder(json, { maxPositions: 2048 }),
      qkvBias: bias,
      outputBias: bias,
      mlpBias: json.flag("mlp_bias", false),
      embeddingScale: json.number("embedding_multiplier", 1),
      residualScale: json.number("residual_multiplier", 1),
      attentionScale: json.number("attention_multiplier", 1),
      logitsScale: 1 / json.number("logits_scaling", 1),
    };
  },
  flavors: {
    granite: {
      "2B": flavor(2048, 40, 32, 8, 8192, 49155, { tied: true }),
      "8B": flavor(4096, 40, 32, 8, 12800, 49155, { tied: true }),
    },
  },
};
