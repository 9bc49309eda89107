// The way from Hugging Face's names of a model's weights to llama.cpp's. The way back: architecture.ts.
import type { GgufNames } from "../models/families/index.ts";

/** What a GGUF file calls a weight; undefined for one that it has no place for. */
export function ggufNameOf(names: GgufNames, weight: string): string | undefined {
  if (weight === "model.embed_tokens.weight") return "token_embd.weight";
  if (weight === "model.norm.weight") return "output_norm.weight";
  if (weight === "lm_head.weight") return "output.weight";
  const [, layer, part, kind] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(weight) ?? [];
  const found = Object.entries(names.layer).find(([, module]) => module === part);
  return found === undefined ? undefined : `blk.${layer}.${found[0]}.${kind}`;
}

/** The number of the layer that a tensor of a GGUF file belongs to; undefined for those outside the layers. */
export function layerOfGgufName(name: string): number | undefined {
  const found = /^blk\.(\d+)\./.exec(name);
  return found === null ? undefined : Number(found[1]);
}
