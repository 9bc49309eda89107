// Mistral 7B: Llama without switches for biases, with a sliding window in all layers.
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import { decoderLayer } from "./gguf-names.ts";
import { slidingInAllLayers } from "./sliding-window.ts";

export const mistral: Family = {
  modelType: "mistral",
  models: "Mistral, Mistral NeMo, Mistral Small (text)",
  differs: "a sliding window in all layers, where config.json names one",
  read(json) {
    const config = readDecoder(json, { kvHeads: 8, maxPositions: 131_072 });
    return { ...config, ...slidingInAllLayers(json, config.numLayers, 4096) };
  },
  flavors: {
    mistral: {
      "7B": flavor(4096, 32, 32, 8, 14336, 32000),
      "NeMo-12B": flavor(5120, 40, 32, 8, 14336, 131072, { json: { head_dim: 128, sliding_window: null } }),
      "Small-24B": flavor(5120, 40, 32, 8, 32768, 131072, { json: { head_dim: 128, sliding_window: null } }),
    },
  },
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
