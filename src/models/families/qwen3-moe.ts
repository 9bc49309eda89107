// Qwen3-MoE: Qwen3 with experts in all layers, or in all but some.
import type { ConfigReader } from "./config-reader.ts";
import { flavor, type Family, type Flavor } from "./family.ts";
import type { MoeConfig } from "./model-config.ts";
import { readMoe } from "./moe-config.ts";
import { readQwen3 } from "./qwen3.ts";
import { slidingInAllLayers } from "./sliding-window.ts";

/** What Qwen2-MoE and Qwen3-MoE have in common. @param shared size of the expert of all tokens */
export function readQwenMoe(
  json: ConfigReader,
  numLayers: number,
  { experts, perToken, size, shared }: { experts: number; perToken: number; size: number; shared?: number },
): MoeConfig | undefined {
  // Transformers 5 writes num_local_experts.
  const key = json.value("num_experts") === undefined ? "num_local_experts" : "num_experts";
  const every = json.size("decoder_sparse_step", 1);
  const dense = json.value("mlp_only_layers") ?? [];
  if (!Array.isArray(dense) || !dense.every(Number.isInteger))
    return json.fail(`mlp_only_layers: expected numbers of layers, found ${JSON.stringify(dense)}`);
  const moe = readMoe(json, [key, experts], perToken, {
    intermediateSize: json.size("moe_intermediate_size", size),
    shared: shared === undefined ? undefined : { intermediateSize: shared },
    normTopkProb: json.flag("norm_topk_prob", false),
    layers: Array.from({ length: numLayers }, (_, i) => (i + 1) % every === 0 && !dense.includes(i)),
    names: {
      router: "mlp.gate",
      experts: "mlp.experts",
      gate: "gate_proj",
      up: "up_proj",
      down: "down_proj",
      ...(shared !== undefined && { shared: "mlp.shared_expert", sharedGate: "mlp.shared_expert_gate" }),
    },
  });
  return moe.layers.some(Boolean) ? moe : undefined;
}

/** Of published checkpoints. */
const published = (intermediateSize: number): Pick<Flavor, "moe" | "json"> => ({
  moe: { numExperts: 128, expertsPerToken: 8, intermediateSize },
  json: { head_dim: 128, norm_topk_prob: true },
});

export const qwen3Moe: Family = {
  modelType: "qwen3_moe",
  models: "Qwen3-MoE",
  differs: "experts in every layer, or in those that `decoder_sparse_step` and `mlp_only_layers` leave",
  limits: ["adapters of experts"],
  read(json) {
    const config = readQwen3(json, { kvHeads: 4, maxPositions: 32_768 });
    const isSliding = json.flag("use_sliding_window", false);
    return {
      ...config,
      ...(isSliding && slidingInAllLayers(json, config.numLayers, 4096)),
      moe: readQwenMoe(json, config.numLayers, { experts: 128, perToken: 8, size: 768 }),
    };
  },
  flavors: {
    qwen3_moe: {
      "30B-A3B": flavor(2048, 48, 32, 4, 6144, 151936, published(768)),
      "235B-A22B": flavor(4096, 94, 64, 4, 12288, 151936, published(1536)),
    },
  },
};
