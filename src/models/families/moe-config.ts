// What config.json says of experts in every family that has some.
import type { ConfigReader } from "./config-reader.ts";
import type { MoeConfig } from "./model-config.ts";

/** @param numExpertsKey the key that counts the experts, and how many there are without it */
export function readMoe(
  json: ConfigReader,
  numExpertsKey: readonly [key: string, fallback: number],
  expertsPerToken: number,
  more: Pick<MoeConfig, "intermediateSize" | "normTopkProb" | "layers" | "names"> & Partial<MoeConfig>,
): MoeConfig {
  const [key, fallback] = numExpertsKey;
  const numExperts = json.size(key, fallback, 100_000);
  const perToken = json.size("num_experts_per_tok", expertsPerToken);
  if (perToken > numExperts)
    json.fail(`num_experts_per_tok: expected at most ${key} (${numExperts}), found ${perToken}`);
  json.mustBe("router_jitter_noise", 0);
  const auxLossCoef = json.flag("output_router_logits", false)
    ? json.number("router_aux_loss_coef", 0.001)
    : 0;
  return {
    numExperts,
    expertsPerToken: perToken,
    auxLossCoef,
    scores: "softmax",
    groups: undefined,
    weightScale: 1,
    shared: undefined,
    ...more,
  };
}

/** Layers that predict further tokens, which Transformers passes over as well. */
export function readLayersBeyond(json: ConfigReader): { layersBeyond?: number } {
  const count = json.number("num_nextn_predict_layers", json.number("num_mtp_layers", 1));
  return count > 0 ? { layersBeyond: count } : {};
}

/** What DeepSeek-V3's router has, and GLM-4 MoE's: scores by themselves, groups, an expert of all tokens; the first layers have none. */
export function readGroupedMoe(
  json: ConfigReader,
  numLayers: number,
  defaults: { experts: number; perToken: number; size: number; dense: number; groups: number; scale: number },
): MoeConfig {
  const count = json.size("n_group", defaults.groups);
  const chosen = json.size("topk_group", defaults.groups === 1 ? 1 : 4);
  const intermediateSize = json.size("moe_intermediate_size", defaults.size);
  const dense = json.number("first_k_dense_replace", defaults.dense);
  // Transformers 5 may write num_local_experts.
  const keys = ["n_routed_experts", "num_local_experts", "num_experts"];
  const key = keys.find((one) => json.value(one) !== undefined) ?? "n_routed_experts";
  const moe = readMoe(json, [key, defaults.experts], defaults.perToken, {
    intermediateSize,
    normTopkProb: json.flag("norm_topk_prob", true),
    layers: Array.from({ length: numLayers }, (_, layer) => layer >= dense),
    auxLossCoef: 0,
    scores: "sigmoid",
    groups: { count, chosen },
    weightScale: json.number("routed_scaling_factor", defaults.scale),
    shared: { intermediateSize: intermediateSize * json.size("n_shared_experts", 1) },
    names: {
      router: "mlp.gate",
      correction: "mlp.gate.e_score_correction_bias",
      experts: "mlp.experts",
      gate: "gate_proj",
      up: "up_proj",
      down: "down_proj",
      shared: "mlp.shared_experts",
    },
  });
  if (moe.numExperts % count !== 0 || chosen > count)
    json.fail(
      `n_group: expected a divisor of ${key} (${moe.numExperts}), and topk_group at most as many; found ${count} and ${chosen}`,
    );
  return moe;
}
