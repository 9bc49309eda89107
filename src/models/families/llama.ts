// Llama 2 to 3.2, and SmolLM2, which is one of them under another name.
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import { decoderLayer } from "./gguf-names.ts";

export const llama: Family = {
  modelType: "llama",
  models: "Llama 2 to 3.2, SmolLM2",
  differs: "rotary embeddings of every kind, biases where config.json asks for them",
  read(json) {
    const bias = json.flag("attention_bias", false);
    const config = readDecoder(json, { maxPositions: 2048 });
    return { ...config, qkvBias: bias, outputBias: bias, mlpBias: json.flag("mlp_bias", false) };
  },
  flavors: {
    llama2: {
      debugmodel: flavor(256, 6, 16, 16, 768, 2048),
      "7B": flavor(4096, 32, 32, 32, 11008, 32000),
      "13B": flavor(5120, 40, 40, 40, 13824, 32000),
      "70B": flavor(8192, 80, 64, 8, 28672, 32000),
    },
    llama3: {
      debugmodel: flavor(256, 6, 16, 16, 768, 2048),
      "1B": flavor(2048, 16, 32, 8, 8192, 128256, { tied: true }),
      "3B": flavor(3072, 28, 24, 8, 8192, 128256, { tied: true }),
      "8B": flavor(4096, 32, 32, 8, 14336, 128256),
      "70B": flavor(8192, 80, 64, 8, 28672, 128256),
      "405B": flavor(16384, 126, 128, 8, 53248, 128256),
    },
    smollm2: {
      "135M": flavor(576, 30, 9, 3, 1536, 49152, { tied: true }),
      "360M": flavor(960, 32, 15, 5, 2560, 49152, { tied: true }),
      "1.7B": flavor(2048, 24, 32, 32, 8192, 49152, { tied: true }),
    },
  },
  gguf: {
    architecture: "llama",
    hasSlidingWindow: false,
    transformersClass: "LlamaForCausalLM",
    interleavesRotary: true,
    hasOneBiasSwitch: true,
    json: (bias) => ({ attention_bias: bias, mlp_bias: false, pretraining_tp: 1 }),
    layer: decoderLayer,
  },
};
