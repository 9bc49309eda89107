// Names of the parameters of a layer with experts, behind `model.layers.N.`.
import type { ModelConfig } from "./model-config.ts";

export function mixtureNames({ family }: Pick<ModelConfig, "family">) {
  const isMixtral = family === "mixtral";
  const module = isMixtral ? "block_sparse_moe" : "mlp";
  const [gate, up, down] = isMixtral ? ["w1", "w3", "w2"] : ["gate_proj", "up_proj", "down_proj"];
  const of = (part: string) => (expert: number) => `${module}.experts.${expert}.${part}.weight`;
  return { router: `${module}.gate.weight`, gate: of(gate), up: of(up), down: of(down) };
}
