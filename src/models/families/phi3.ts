// Phi-3, Phi-3.5 and Phi-4: q, k and v lie in files as one matrix, gate and up as well; longrope, perhaps of a part of each head.
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import { joinedGateUp, joinedQkv } from "./joined.ts";
import { slidingInAllLayers } from "./sliding-window.ts";

export const phi3: Family = {
  modelType: "phi3",
  models: "Phi-3, Phi-3.5, Phi-4",
  differs: "longrope, perhaps of a part of each head; fused matrices in files",
  limits: [
    "context parallelism where documents of one sequence lie on both sides of original_max_position_embeddings (longrope)",
    "PEFT: adapters are of q_proj, k_proj and so on, which Transformers' fused layers don't have; `torchforge merge` takes them",
  ],
  read(json) {
    const config = readDecoder(json, { maxPositions: 4096, normEps: 1e-5 });
    return {
      ...config,
      ...(json.value("sliding_window") !== undefined && slidingInAllLayers(json, config.numLayers)),
      joined: [joinedQkv, joinedGateUp],
    };
  },
  flavors: {
    phi3: {
      mini: flavor(3072, 32, 32, 32, 8192, 32064),
      medium: flavor(5120, 40, 40, 10, 17920, 32064),
    },
    phi4: {
      mini: flavor(3072, 32, 24, 8, 8192, 200064, { tied: true, json: { partial_rotary_factor: 0.75 } }),
      "14B": flavor(5120, 40, 40, 10, 17920, 100352),
    },
  },
};
