// Mixtral: Mistral with experts in every layer, which have names of their own.
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import { readMoe } from "./moe-config.ts";
import { slidingInAllLayers } from "./sliding-window.ts";

export const mixtral: Family = {
  modelType: "mixtral",
  models: "Mixtral",
  differs: "experts in every layer",
  limits: ["adapters of experts"],
  read(json) {
    const config = readDecoder(json, {
      kvHeads: 8,
      maxPositions: 131_072,
      ropeTheta: 1_000_000,
      normEps: 1e-5,
    });
    const { numLayers, intermediateSize } = config;
    return {
      ...config,
      // A window where config.json names one, which none of the published do.
      ...(json.value("sliding_window") !== undefined && slidingInAllLayers(json, numLayers)),
      moe: readMoe(json, ["num_local_experts", 8], 2, {
        intermediateSize,
        normTopkProb: true,
        layers: Array.from({ length: numLayers }, () => true),
        names: {
          router: "block_sparse_moe.gate",
          experts: "block_sparse_moe.experts",
          gate: "w1",
          up: "w3",
          down: "w2",
        },
      }),
    };
  },
  flavors: {
    mixtral: {
      "8x7B": flavor(4096, 32, 32, 8, 14336, 32000, {
        moe: { numExperts: 8, expertsPerToken: 2, intermediateSize: 14336 },
      }),
      "8x22B": flavor(6144, 56, 48, 8, 16384, 32768, {
        moe: { numExperts: 8, expertsPerToken: 2, intermediateSize: 16384 },
      }),
    },
  },
};
