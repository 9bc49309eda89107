import type { ModelConfig } from "../../models/index.ts";

/** A tied lm_head has no tensor of its own. */
export function tiedNames(config: ModelConfig): Map<string, string> {
  return new Map(config.tieEmbeddings ? [["lm_head.weight", "model.embed_tokens.weight"]] : []);
}
