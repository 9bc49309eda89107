// What a decoder's config.json says, checked, in the words of the field. Families differ in a handful of switches; the
// decoder (decoder.ts) reads only this. Weights and tokenizer are elsewhere.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { UserError } from "../util/index.ts";

/** Llama 3.1's scaling of rotary frequencies. */
export interface Llama3RopeScaling {
  kind: "llama3";
  factor: number;
  lowFreqFactor: number;
  highFreqFactor: number;
  originalMaxPositions: number;
}
export type RopeScaling = Llama3RopeScaling | { kind: "linear"; factor: number };

export interface ModelConfig {
  /** `llama`, `mistral`, `qwen2`, `qwen3`: config.json's model_type. */
  family: Family;
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  numLayers: number;
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  normEps: number;
  ropeTheta: number;
  ropeScaling: RopeScaling | undefined;
  maxPositions: number;
  tieEmbeddings: boolean;
  /** Biases on the q, k and v projections (Qwen2). */
  qkvBias: boolean;
  /** A bias on o_proj too (Llama's attention_bias). */
  outputBias: boolean;
  /** Biases in the feed-forward layers (Llama's mlp_bias). */
  mlpBias: boolean;
  /** RMSNorm over each head of q and k (Qwen3). */
  qkNorm: boolean;
  /** Tokens that each one sees, itself included; undefined: all before it. */
  slidingWindow: number | undefined;
  /** Which layers use the sliding window: all of Mistral's, those after Qwen's max_window_layers, or as layer_types says. */
  slidingLayers: readonly boolean[];
}

export const families = ["llama", "mistral", "qwen2", "qwen3"] as const;
export type Family = (typeof families)[number];

/** What Transformers takes where config.json leaves a key out, by family. */
const familyDefaults: Record<
  Family,
  { kvHeads?: number; headDim?: number; maxPositions: number; slidingWindow?: number }
> = {
  llama: { maxPositions: 2048 },
  mistral: { kvHeads: 8, maxPositions: 131_072, slidingWindow: 4096 },
  qwen2: { kvHeads: 32, maxPositions: 32_768, slidingWindow: 4096 },
  qwen3: { kvHeads: 32, headDim: 128, maxPositions: 32_768, slidingWindow: 4096 },
};

type Json = Record<string, unknown>;

/** Reads config.json of a model folder. */
export function readModelConfig(folder: string): ModelConfig {
  const path = join(folder, "config.json");
  if (!existsSync(path)) {
    throw new UserError(
      `model.hf_assets_path: expected a Hugging Face model folder with config.json, found none in ${folder}. ` +
        "`npx torchforge download ORG/NAME --output-dir DIR` makes one.",
      { exitCode: 2 },
    );
  }
  let json: Json;
  try {
    json = JSON.parse(readFileSync(path, "utf8")) as Json;
  } catch (error) {
    throw new UserError(`${path}: expected JSON: ${(error as Error).message}`, { cause: error, exitCode: 2 });
  }
  return parseModelConfig(json, path);
}

/** Checks a parsed config.json. `where` names it in messages. */
export function parseModelConfig(json: Json, where: string): ModelConfig {
  const fail = (message: string): never => {
    throw new UserError(`${where}: ${message}`, { exitCode: 2 });
  };
  const number = (key: string, fallback?: number): number => {
    const value = json[key] ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value))
      return fail(`${key}: expected a number, found ${JSON.stringify(json[key])}`);
    return value;
  };
  const size = (key: string, fallback?: number): number => {
    const value = number(key, fallback);
    return Number.isInteger(value) && value > 0
      ? value
      : fail(`${key}: expected a whole number above 0, found ${value}`);
  };
  const flag = (key: string, fallback: boolean): boolean => {
    const value = json[key] ?? fallback;
    if (typeof value !== "boolean")
      return fail(`${key}: expected true or false, found ${JSON.stringify(value)}`);
    return value;
  };
  const family = json["model_type"] as Family;
  if (!families.includes(family)) {
    fail(
      `model_type: expected one of ${families.join(", ")} (Llama 2 to 3.2, SmolLM2, Mistral, Qwen2, Qwen2.5, Qwen3), found ${JSON.stringify(json["model_type"])}`,
    );
  }
  const activation = json["hidden_act"] ?? "silu";
  if (activation !== "silu") fail(`hidden_act: expected "silu", found ${JSON.stringify(activation)}`);

  const defaults = familyDefaults[family];
  const hiddenSize = size("hidden_size");
  const numHeads = size("num_attention_heads");
  const numLayers = size("num_hidden_layers");
  const numKvHeads = size(
    "num_key_value_heads",
    json["num_key_value_heads"] === null ? numHeads : (defaults.kvHeads ?? numHeads),
  );
  if (numHeads % numKvHeads !== 0)
    fail(`num_attention_heads (${numHeads}) must be a multiple of num_key_value_heads (${numKvHeads})`);
  const headDim = number("head_dim", defaults.headDim ?? hiddenSize / numHeads);
  if (!Number.isInteger(headDim) || headDim <= 0 || headDim % 2 !== 0)
    fail(`head_dim: expected an even whole number, found ${headDim}`);

  // Transformers 5 keeps theta and scaling together under rope_parameters.
  const rope = (json["rope_parameters"] ?? json["rope_scaling"] ?? {}) as Json;
  const ropeTheta = number(
    "rope_theta",
    typeof rope["rope_theta"] === "number" ? rope["rope_theta"] : 10_000,
  );
  const partial = json["partial_rotary_factor"] ?? rope["partial_rotary_factor"] ?? 1;
  if (partial !== 1) fail(`partial_rotary_factor: expected 1, found ${JSON.stringify(partial)}`);

  const windowed = family === "mistral" || (family !== "llama" && flag("use_sliding_window", false));
  // null says that there is none; a key that isn't there leaves it to the family.
  const slidingWindow =
    windowed && json["sliding_window"] !== null ? size("sliding_window", defaults.slidingWindow) : undefined;
  const maxPositions = size("max_position_embeddings", defaults.maxPositions);
  // Transformers' Mistral knows neither key, and its Qwen2 has biases on q, k and v whatever config.json says.
  const attentionBias = (family === "llama" || family === "qwen3") && flag("attention_bias", false);

  return {
    family,
    vocabSize: size("vocab_size"),
    hiddenSize,
    intermediateSize: size("intermediate_size"),
    numLayers,
    numHeads,
    numKvHeads,
    headDim,
    normEps: number("rms_norm_eps", 1e-6),
    ropeTheta,
    ropeScaling: ropeScalingOf(rope, maxPositions, fail),
    maxPositions,
    tieEmbeddings: flag("tie_word_embeddings", false),
    qkvBias: family === "qwen2" || attentionBias,
    outputBias: attentionBias,
    mlpBias: family === "llama" && flag("mlp_bias", false),
    qkNorm: family === "qwen3",
    slidingWindow,
    slidingLayers: slidingLayersOf(family, json, slidingWindow, numLayers, fail),
  };
}

function slidingLayersOf(
  family: Family,
  json: Json,
  slidingWindow: number | undefined,
  numLayers: number,
  fail: (message: string) => never,
): boolean[] {
  const all = Array.from({ length: numLayers }, (_, i) => i);
  if (slidingWindow === undefined) return all.map(() => false);
  if (family === "mistral") return all.map(() => true);
  const kinds = json["layer_types"] ?? undefined;
  if (kinds === undefined) {
    const from = json["max_window_layers"] ?? 28;
    if (typeof from !== "number")
      return fail(`max_window_layers: expected a number, found ${JSON.stringify(from)}`);
    return all.map((layer) => layer >= from);
  }
  if (!Array.isArray(kinds) || kinds.length !== numLayers)
    return fail(
      `layer_types: expected one for each of the ${numLayers} layers, found ${JSON.stringify(kinds)}`,
    );
  const known = ["full_attention", "sliding_attention"];
  for (const kind of kinds as unknown[]) {
    if (!known.includes(kind as string))
      fail(`layer_types: expected ${known.join(" or ")}, found ${JSON.stringify(kind)}`);
  }
  return kinds.map((kind) => kind === "sliding_attention");
}

function ropeScalingOf(
  rope: Json,
  maxPositions: number,
  fail: (message: string) => never,
): RopeScaling | undefined {
  const kind = rope["rope_type"] ?? rope["type"] ?? "default";
  const number = (key: string, fallback?: number): number => {
    const value = rope[key] ?? fallback;
    if (typeof value !== "number")
      return fail(`rope_scaling.${key}: expected a number, found ${JSON.stringify(value)}`);
    return value;
  };
  if (kind === "default") return undefined;
  if (kind === "linear") return { kind: "linear", factor: number("factor") };
  if (kind === "llama3") {
    return {
      kind: "llama3",
      factor: number("factor"),
      lowFreqFactor: number("low_freq_factor"),
      highFreqFactor: number("high_freq_factor"),
      originalMaxPositions: number("original_max_position_embeddings", maxPositions),
    };
  }
  return fail(`rope_scaling.rope_type: expected default, linear or llama3, found ${JSON.stringify(kind)}`);
}

/** Trainable numbers: the embedding counts once where it is tied. */
export function countParameters(config: ModelConfig): number {
  const { hiddenSize: d, intermediateSize: i, headDim, numHeads, numKvHeads, vocabSize: v } = config;
  const q = numHeads * headDim;
  const kv = numKvHeads * headDim;
  const layer =
    d * (2 * q + 2 * kv) +
    (config.qkvBias ? q + 2 * kv : 0) +
    (config.outputBias ? d : 0) +
    3 * d * i +
    (config.mlpBias ? 2 * i + d : 0) +
    2 * d +
    (config.qkNorm ? 2 * headDim : 0);
  return v * d * (config.tieEmbeddings ? 1 : 2) + config.numLayers * layer + d;
}

/** FLOPs of training on one token: 6 for each parameter in a product, and causal attention over `seqLen`. */
export function flopsPerToken(config: ModelConfig, seqLen: number): number {
  const products =
    countParameters(config) - (config.tieEmbeddings ? 0 : config.vocabSize * config.hiddenSize);
  return 6 * products + 6 * config.numLayers * seqLen * config.numHeads * config.headDim;
}
