// The model families that are known: how each one's config.json is read, its published sizes, its names in GGUF files. A new
// family is a file here and a line in `families`. Nothing here imports torch: who imports GGUF files or lists models needs
// no tensors.
import type { Family } from "./family.ts";
import { deepseekV3 } from "./deepseek-v3.ts";
import { gemma } from "./gemma.ts";
import { gemma2 } from "./gemma2.ts";
import { gemma3 } from "./gemma3.ts";
import { glm } from "./glm.ts";
import { glm4Moe } from "./glm4-moe.ts";
import { glm4 } from "./glm4.ts";
import { gptOss } from "./gpt-oss.ts";
import { granite } from "./granite.ts";
import { llama } from "./llama.ts";
import { ministral } from "./ministral.ts";
import { ministral3 } from "./ministral3.ts";
import { mistral } from "./mistral.ts";
import { mixtral } from "./mixtral.ts";
import { olmo2 } from "./olmo2.ts";
import { olmo3 } from "./olmo3.ts";
import { phi3 } from "./phi3.ts";
import { qwen2Moe } from "./qwen2-moe.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3Moe } from "./qwen3-moe.ts";
import { qwen3 } from "./qwen3.ts";
import { smollm3 } from "./smollm3.ts";

export { familyRow, type FamilyRow } from "./table.ts";
export { ConfigReader } from "./config-reader.ts";
export type { Family, Flavor } from "./family.ts";
export type { GgufNames } from "./gguf-names.ts";
export type {
  JoinedMatrices,
  LatentConfig,
  ModelConfig,
  MoeConfig,
  MoeNames,
  TextTower,
  RopeConfig,
  RopeScaling,
} from "./model-config.ts";

export const families: readonly Family[] = [
  llama,
  mistral,
  ministral,
  ministral3,
  mixtral,
  qwen2,
  qwen2Moe,
  qwen3,
  qwen3Moe,
  smollm3,
  olmo2,
  olmo3,
  granite,
  phi3,
  glm,
  glm4,
  glm4Moe,
  gemma,
  gemma2,
  gemma3,
  deepseekV3,
  gptOss,
];
