// Mistral 7B: Llama without switches for biases, with a sliding window in all layers.
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import { decoderLayer } from "./gguf-names.ts";
import { slidingInAllLayers } from "./sliding-window.ts";

export const mistral: Family = {
  modelType: "mistral",
  models: "Mistral",
  read(json) {
    const config = readDecoder(json, { kvHeads: 8, maxPositions: 131_072 });
    return { ...config, ...slidingInAllLayers(json, config.numLayers, 4096) };
  },
  flavors: { mistral: { "7B": flavor(4096, 32, 32, 8, 14336, 32000) } },
  gguf: {
    architecture: "llama",
    hasSlidingWindow: true,
    transformersClass: "MistralForCausalLM",
    interleavesRotary: true,
    hasOneBiasSwitch: true,
    json: () => ({}),
    layer: decoderLayer,
  },
};
