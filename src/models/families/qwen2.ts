// Qwen2 and Qwen2.5: biases on q, k and v, whatever config.json says, and perhaps a sliding window in some layers.
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import { decoderLayer } from "./gguf-names.ts";
import { slidingByLayer } from "./sliding-window.ts";

export const qwen2: Family = {
  modelType: "qwen2",
  models: "Qwen2, Qwen2.5",
  differs: "biases of queries, keys and values; a sliding window in some layers",
  read(json) {
    const config = readDecoder(json, { kvHeads: 32, maxPositions: 32_768 });
    const isSliding = json.flag("use_sliding_window", false);
    return { ...config, qkvBias: true, ...(isSliding && slidingByLayer(json, config.numLayers, 4096)) };
  },
  flavors: {
    qwen2: {
      "0.5B": flavor(896, 24, 14, 2, 4864, 151936, { tied: true }),
      "1.5B": flavor(1536, 28, 12, 2, 8960, 151936, { tied: true }),
      "3B": flavor(2048, 36, 16, 2, 11008, 151936, { tied: true }),
      "7B": flavor(3584, 28, 28, 4, 18944, 152064),
      "14B": flavor(5120, 48, 40, 8, 13824, 152064),
      "32B": flavor(5120, 64, 40, 8, 27648, 152064),
      "72B": flavor(8192, 80, 64, 8, 29568, 152064),
    },
  },
  gguf: {
    architecture: "qwen2",
    transformersClass: "Qwen2ForCausalLM",
    interleavesRotary: false,
    json: () => ({ use_sliding_window: false }),
    layer: decoderLayer,
  },
};
