// DeepSeek-V3 and models of its form (Moonlight, Kimi K2): latent attention, experts that a sigmoid scores.
import type { ConfigReader } from "./config-reader.ts";
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import type { ModelConfig } from "./model-config.ts";
import { readGroupedMoe, readLayersBeyond } from "./moe-config.ts";
import { yarnScale } from "./rope.ts";

/** YaRN makes scores larger, once for queries and once for keys. */
function scaleOf(json: ConfigReader, headDim: number, { ropes }: ModelConfig): number {
  const rope = (json.value("rope_parameters") ?? json.value("rope_scaling") ?? {}) as Record<string, unknown>;
  const all = json.inside(rope, "rope_parameters.").number("mscale_all_dim", 0);
  const scaling = ropes[0]!.scaling;
  if (scaling === undefined || all === 0 || !("factor" in scaling)) return headDim ** -0.5;
  return headDim ** -0.5 * yarnScale(scaling.factor, all) ** 2;
}

export const deepseekV3: Family = {
  modelType: "deepseek_v3",
  models: "DeepSeek-V3, DeepSeek-R1, Moonlight",
  differs: "latent attention; experts that a sigmoid scores, in groups, with a correction; one of all tokens",
  limits: [
    "adapters of experts, and of the matrices that give latent vectors",
    "weights in FP8, as DeepSeek publishes them",
    "the layer that predicts a second token: it isn't trained, and exports lack it",
  ],
  read(json) {
    const ropeDim = json.size("qk_rope_head_dim", 64);
    const plainDim = json.size("qk_nope_head_dim", 128);
    const valueDim = json.size("v_head_dim", 128);
    const headDim = plainDim + ropeDim;
    // What rotates is a part of each head by itself.
    const config = readDecoder(json.with({ head_dim: ropeDim, num_key_value_heads: null }), {
      maxPositions: 4096,
    });
    if (valueDim > headDim)
      json.fail(
        `v_head_dim: expected at most qk_nope_head_dim + qk_rope_head_dim (${headDim}), found ${valueDim}`,
      );
    const bias = json.flag("attention_bias", false);
    return {
      ...config,
      headDim,
      outputBias: bias,
      attentionScale: scaleOf(json, headDim, config),
      ropeOfPairs: json.flag("rope_interleave", true),
      latent: {
        queryRank: json.value("q_lora_rank") === null ? undefined : json.size("q_lora_rank", 1536),
        keyValueRank: json.size("kv_lora_rank", 512),
        ropeDim,
        valueDim,
        bias,
      },
      ...readLayersBeyond(json),
      moe: readGroupedMoe(json, config.numLayers, {
        experts: 256,
        perToken: 8,
        size: 2048,
        dense: 3,
        groups: 8,
        scale: 2.5,
      }),
    };
  },
  flavors: {
    deepseek_v3: {
      "671B": flavor(7168, 61, 128, 128, 18432, 129280, {
        moe: { numExperts: 256, expertsPerToken: 8, intermediateSize: 2048 },
      }),
    },
    moonlight: {
      "16B-A3B": flavor(2048, 27, 16, 16, 11264, 163840, {
        moe: { numExperts: 64, expertsPerToken: 6, intermediateSize: 1408 },
        json: {
          q_lora_rank: null,
          first_k_dense_replace: 1,
          n_group: 1,
          topk_group: 1,
          n_shared_experts: 2,
          routed_scaling_factor: 2.446,
        },
      }),
    },
  },
};
