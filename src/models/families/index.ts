// The model families that are known: how each one's config.json is read, its published sizes, its names in GGUF files. A new
// family is a file here and a line in `families`. Nothing here imports torch: who imports GGUF files or lists models needs
// no tensors.
import type { Family } from "./family.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { mixtral } from "./mixtral.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3Moe } from "./qwen3-moe.ts";
import { qwen3 } from "./qwen3.ts";

export { ConfigReader } from "./config-reader.ts";
export type { Family, Flavor } from "./family.ts";
export type { GgufNames } from "./gguf-names.ts";
export type { ModelConfig, MoeConfig, RopeScaling } from "./model-config.ts";

export const families: readonly Family[] = [llama, mistral, mixtral, qwen2, qwen3, qwen3Moe];
