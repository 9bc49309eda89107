// Matrices that a family's files hold as one.
import type { JoinedMatrices } from "./model-config.ts";

const proj = (prefix: string, names: readonly string[]): string[] =>
  names.map((name) => `${prefix}.${name}_proj`);

/** Queries, keys and values (Phi-3). */
export const joinedQkv: JoinedMatrices = {
  into: "self_attn.qkv_proj",
  parts: proj("self_attn", ["q", "k", "v"]),
};

/** Gate and up (Phi-3, GLM-4). */
export const joinedGateUp: JoinedMatrices = { into: "mlp.gate_up_proj", parts: proj("mlp", ["gate", "up"]) };
