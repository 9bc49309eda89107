// Gemma 2: norms before and after each part, soft-capped scores and logits, a sliding window in every other layer.
import type { ConfigReader } from "./config-reader.ts";
import type { DecoderDefaults } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import { readGemma } from "./gemma.ts";
import type { ModelConfig } from "./model-config.ts";
import { slidingWhere } from "./sliding-window.ts";

/** What Gemma 2 and 3 have in common. @param caps of scores and logits, where config.json has none */
export function readGemma2(
  json: ConfigReader,
  defaults: DecoderDefaults,
  caps: readonly [scores: number | undefined, logits: number | undefined],
): ModelConfig {
  const cap = (key: string, fallback: number | undefined): number | undefined =>
    json.value(key) === null || (json.value(key) === undefined && fallback === undefined)
      ? undefined
      : json.number(key, fallback);
  json.mustNot("use_bidirectional_attention");
  return {
    ...readGemma(json, { activationKey: "hidden_activation", ...defaults }),
    norms: {
      attentionIn: "input_layernorm",
      attentionOut: "post_attention_layernorm",
      feedForwardIn: "pre_feedforward_layernorm",
      feedForwardOut: "post_feedforward_layernorm",
    },
    attentionScale: json.number("query_pre_attn_scalar", 256) ** -0.5,
    attentionSoftCap: cap("attn_logit_softcapping", caps[0]),
    logitsSoftCap: cap("final_logit_softcapping", caps[1]),
  };
}

export const gemma2: Family = {
  modelType: "gemma2",
  models: "Gemma 2",
  differs: "soft-capped scores and logits, norms before and after each part, windows by layer",
  limits: ["context parallelism: its scores are soft-capped"],
  read(json) {
    const config = readGemma2(json, { kvHeads: 4, headDim: 256, maxPositions: 8192 }, [50, 30]);
    return { ...config, ...slidingWhere(json, config.numLayers, 4096, (layer) => layer % 2 === 0) };
  },
  flavors: {
    gemma2: {
      "2B": flavor(2304, 26, 8, 4, 9216, 256000, { tied: true, json: { head_dim: 256 } }),
      "9B": flavor(3584, 42, 16, 8, 14336, 256000, { tied: true, json: { head_dim: 256 } }),
      "27B": flavor(4608, 46, 32, 16, 36864, 256000, {
        tied: true,
        json: { head_dim: 128, query_pre_attn_scalar: 144 },
      }),
    },
  },
};
