// Qwen3: norms of each head of q and k, no biases unless config.json asks for them.
import type { ConfigReader } from "./config-reader.ts";
import { readDecoder, type DecoderDefaults } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import { decoderLayer } from "./gguf-names.ts";
import type { ModelConfig } from "./model-config.ts";
import { slidingByLayer } from "./sliding-window.ts";

/** What Qwen3 and Qwen3-MoE have in common. */
export function readQwen3(json: ConfigReader, defaults: DecoderDefaults): ModelConfig {
  const bias = json.flag("attention_bias", false);
  return { ...readDecoder(json, defaults), qkvBias: bias, outputBias: bias, qkNorm: true };
}

export const qwen3: Family = {
  modelType: "qwen3",
  models: "Qwen3",
  differs: "norms of queries and keys",
  read(json) {
    const config = readQwen3(json, { kvHeads: 32, headDim: 128, maxPositions: 32_768 });
    const isSliding = json.flag("use_sliding_window", false);
    return { ...config, ...(isSliding && slidingByLayer(json, config.numLayers, 4096)) };
  },
  flavors: {
    qwen3: {
      "0.6B": flavor(1024, 28, 16, 8, 3072, 151936, { tied: true }),
      "1.7B": flavor(2048, 28, 16, 8, 6144, 151936, { tied: true }),
      "4B": flavor(2560, 36, 32, 8, 9728, 151936, { tied: true }),
      "8B": flavor(4096, 36, 32, 8, 12288, 151936),
      "14B": flavor(5120, 40, 40, 8, 17408, 151936),
      "32B": flavor(5120, 64, 64, 8, 25600, 151936),
    },
  },
  gguf: {
    architecture: "qwen3",
    transformersClass: "Qwen3ForCausalLM",
    interleavesRotary: false,
    writesHeadDim: true,
    json: (bias) => ({ attention_bias: bias, use_sliding_window: false }),
    layer: decoderLayer,
  },
};
