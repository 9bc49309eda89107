// Gemma 3's language model: norms of queries and keys, five layers with a window and a rotary base of their own to each one without.
import { flavor, type Family } from "./family.ts";
import { readGemma2 } from "./gemma2.ts";
import { readRopes } from "./rope.ts";
import { slidingWhere } from "./sliding-window.ts";

const sized = { tied: true, json: { head_dim: 256 } } as const;

export const gemma3: Family = {
  modelType: "gemma3_text",
  models: "Gemma 3 (text)",
  differs: "norms of queries and keys, windows and rotary bases by layer",
  read(json) {
    const defaults = { kvHeads: 4, headDim: 256, maxPositions: 131_072 };
    const config = readGemma2(json, defaults, [undefined, undefined]);
    const every = json.size("sliding_window_pattern", 6);
    const sliding = slidingWhere(json, config.numLayers, 4096, (layer) => (layer + 1) % every !== 0);
    const ropes = readRopes(json, ["rope_local_base_freq", 10_000], {
      theta: 1_000_000,
      headDim: config.headDim,
      partial: 1,
      maxPositions: config.maxPositions,
    });
    return {
      ...config,
      // Transformers reads attn_logit_softcapping, and doesn't apply it.
      attentionSoftCap: undefined,
      qkNorm: true,
      ...sliding,
      ropes,
      ropeOfLayer: sliding.slidingLayers.map(Number),
    };
  },
  flavors: {
    gemma3: {
      "270M": flavor(640, 18, 4, 1, 2048, 262144, sized),
      "1B": flavor(1152, 26, 4, 1, 6912, 262144, sized),
      "4B": flavor(2560, 34, 8, 4, 10240, 262208, sized),
      "12B": flavor(3840, 48, 16, 8, 15360, 262208, sized),
      "27B": flavor(5376, 62, 32, 16, 21504, 262208, {
        tied: true,
        json: { head_dim: 128, query_pre_attn_scalar: 168 },
      }),
    },
  },
};
