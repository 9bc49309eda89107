// Qwen2-MoE (Qwen1.5-MoE-A2.7B, Qwen2-57B-A14B): Qwen2 with experts, and one of all tokens that a sigmoid weighs.
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import { readQwenMoe } from "./qwen3-moe.ts";
import { slidingWhere } from "./sliding-window.ts";

export const qwen2Moe: Family = {
  modelType: "qwen2_moe",
  models: "Qwen2-MoE",
  differs: "experts, and one of all tokens that a sigmoid weighs",
  limits: ["adapters of experts"],
  read(json) {
    const config = readDecoder(json, { kvHeads: 16, maxPositions: 32_768 });
    const { numLayers } = config;
    const until = json.number("max_window_layers", 28);
    return {
      ...config,
      qkvBias: json.flag("qkv_bias", true),
      ...(json.flag("use_sliding_window", false) &&
        slidingWhere(json, numLayers, 4096, (layer) => layer % 2 === 0 && layer < until)),
      moe: readQwenMoe(json, numLayers, {
        experts: 60,
        perToken: 4,
        size: 1408,
        shared: json.size("shared_expert_intermediate_size", 5632),
      }),
    };
  },
  flavors: {
    qwen2_moe: {
      "A2.7B": flavor(2048, 24, 16, 16, 5632, 151936, {
        moe: { numExperts: 60, expertsPerToken: 4, intermediateSize: 1408 },
      }),
      "57B-A14B": flavor(3584, 28, 28, 4, 18944, 151936, {
        moe: { numExperts: 64, expertsPerToken: 8, intermediateSize: 2560 },
        json: { shared_expert_intermediate_size: 20480 },
      }),
    },
  },
};
