// Ministral 3: Mistral with YaRN, whose queries grow with the position beyond those of pretraining.
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import { slidingInAllLayers } from "./sliding-window.ts";

/** What Transformers takes without rope_parameters. */
const rope = {
  rope_type: "yarn",
  rope_theta: 1_000_000,
  factor: 16,
  original_max_position_embeddings: 16_384,
  mscale: 1,
  mscale_all_dim: 1,
  llama_4_scaling_beta: 0.1,
};

export const ministral3: Family = {
  modelType: "ministral3",
  models: "Ministral 3 (text)",
  differs: "YaRN; queries grow with the position",
  read(json) {
    const filled = json.with({ rope_parameters: json.value("rope_parameters") ?? rope });
    const config = readDecoder(filled, { kvHeads: 8, headDim: 128, maxPositions: 262_144, normEps: 1e-5 });
    const parameters = filled.inside(
      filled.value("rope_parameters") as Record<string, unknown>,
      "rope_parameters.",
    );
    const queryScaling = {
      beta: parameters.number("llama_4_scaling_beta"),
      originalMaxPositions: parameters.size("original_max_position_embeddings"),
    };
    return {
      ...config,
      ropes: config.ropes.map((one) => ({ ...one, queryScaling })),
      ...(json.value("sliding_window") !== undefined && slidingInAllLayers(json, config.numLayers)),
    };
  },
  flavors: {
    ministral3: {
      "3B": flavor(3072, 26, 32, 8, 9216, 131072, { tied: true, json: { head_dim: 128 } }),
      "8B": flavor(4096, 34, 32, 8, 14336, 131072, { json: { head_dim: 128 } }),
      "14B": flavor(5120, 40, 32, 8, 16384, 131072, { json: { head_dim: 128 } }),
    },
  },
};
