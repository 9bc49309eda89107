// What config.json says of experts in every family that has some.
import type { ConfigReader } from "./config-reader.ts";
import type { MoeConfig } from "./model-config.ts";

/** @param numExpertsKey the key that counts the experts, and how many there are without it */
export function readMoe(
  json: ConfigReader,
  numExpertsKey: readonly [key: string, fallback: number],
  expertsPerToken: number,
  more: Pick<MoeConfig, "intermediateSize" | "normTopkProb" | "layers" | "names">,
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
  return { numExperts, expertsPerToken: perToken, auxLossCoef, ...more };
}
