// What a decoder's config.json says, checked, in the words of the field. Families differ in a handful of switches; the
// decoder (decoder.ts) reads only this. Weights and tokenizer are elsewhere.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import type { RopeScaling } from "../nn/index.ts";
import { UserError } from "../util/index.ts";

/** How the feed-forward layers of a mixture of experts are made. */
export interface MixtureConfig {
  numExperts: number;
  /** Experts that each token goes to. */
  expertsPerToken: number;
  /** Of each expert's feed-forward. */
  intermediateSize: number;
  /** Whether the weights of a token's experts are divided by their sum; else they are softmax's over all experts. */
  normalizes: boolean;
  /** Of the load-balancing loss (router_aux_loss_coef); 0 unless config.json has output_router_logits: true. */
  balanceCoefficient: number;
  /** Which layers have experts; the others have one feed-forward of ModelConfig.intermediateSize. */
  layers: readonly boolean[];
}

export interface ModelConfig {
  /** config.json's model_type. */
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
  /** Undefined: every layer has one feed-forward. */
  mixture: MixtureConfig | undefined;
}

export const families = ["llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe"] as const;
export type Family = (typeof families)[number];

/** What Transformers takes where config.json leaves a key out, by family. */
const familyDefaults: Record<
  Family,
  {
    kvHeads?: number;
    headDim?: number;
    maxPositions: number;
    slidingWindow?: number;
    ropeTheta?: number;
    normEps?: number;
  }
> = {
  llama: { maxPositions: 2048 },
  mistral: { kvHeads: 8, maxPositions: 131_072, slidingWindow: 4096 },
  mixtral: { kvHeads: 8, maxPositions: 131_072, ropeTheta: 1_000_000, normEps: 1e-5 },
  qwen2: { kvHeads: 32, maxPositions: 32_768, slidingWindow: 4096 },
  qwen3: { kvHeads: 32, headDim: 128, maxPositions: 32_768, slidingWindow: 4096 },
  qwen3_moe: { kvHeads: 4, maxPositions: 32_768, slidingWindow: 4096 },
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
      `model_type: expected one of ${families.join(", ")} (Llama 2 to 3.2, SmolLM2, Mistral, Mixtral, Qwen2, Qwen2.5, Qwen3, Qwen3-MoE), found ${JSON.stringify(json["model_type"])}`,
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
    typeof rope["rope_theta"] === "number" ? rope["rope_theta"] : (defaults.ropeTheta ?? 10_000),
  );
  const partial = json["partial_rotary_factor"] ?? rope["partial_rotary_factor"] ?? 1;
  if (partial !== 1) fail(`partial_rotary_factor: expected 1, found ${JSON.stringify(partial)}`);

  const windowed =
    family === "mistral" ||
    // Mixtral has a window where config.json names one, which none of the published do.
    (family === "mixtral" && json["sliding_window"] !== undefined) ||
    (family.startsWith("qwen") && flag("use_sliding_window", false));
  // null says that there is none; a key that isn't there leaves it to the family.
  const slidingWindow =
    windowed && json["sliding_window"] !== null ? size("sliding_window", defaults.slidingWindow) : undefined;
  const maxPositions = size("max_position_embeddings", defaults.maxPositions);
  // Transformers' Mistral knows neither key, and its Qwen2 has biases on q, k and v whatever config.json says.
  const attentionBias =
    (family === "llama" || family === "qwen3" || family === "qwen3_moe") && flag("attention_bias", false);

  return {
    family,
    vocabSize: size("vocab_size"),
    hiddenSize,
    intermediateSize: size("intermediate_size"),
    numLayers,
    numHeads,
    numKvHeads,
    headDim,
    normEps: number("rms_norm_eps", defaults.normEps ?? 1e-6),
    ropeTheta,
    ropeScaling: ropeScalingOf(rope, maxPositions, fail),
    maxPositions,
    tieEmbeddings: flag("tie_word_embeddings", false),
    qkvBias: family === "qwen2" || attentionBias,
    outputBias: attentionBias,
    mlpBias: family === "llama" && flag("mlp_bias", false),
    qkNorm: family === "qwen3" || family === "qwen3_moe",
    slidingWindow,
    slidingLayers: slidingLayersOf(family, json, slidingWindow, numLayers, fail),
    mixture: mixtureOf(family, json, numLayers, { fail, number, size, flag }),
  };
}

interface Readers {
  fail: (message: string) => never;
  number: (key: string, fallback?: number) => number;
  size: (key: string, fallback?: number) => number;
  flag: (key: string, fallback: boolean) => boolean;
}

function mixtureOf(
  family: Family,
  json: Json,
  numLayers: number,
  { fail, number, size, flag }: Readers,
): MixtureConfig | undefined {
  if (family !== "mixtral" && family !== "qwen3_moe") return undefined;
  const isQwen = family === "qwen3_moe";
  // Transformers 5 writes num_local_experts for Qwen, too.
  const key = isQwen && json["num_experts"] !== undefined ? "num_experts" : "num_local_experts";
  const numExperts = size(key, isQwen ? 128 : 8);
  const expertsPerToken = size("num_experts_per_tok", isQwen ? 8 : 2);
  if (expertsPerToken > numExperts)
    fail(`num_experts_per_tok: expected at most ${key} (${numExperts}), found ${expertsPerToken}`);
  const noise = json["router_jitter_noise"] ?? 0;
  if (noise !== 0) fail(`router_jitter_noise: expected 0, found ${JSON.stringify(noise)}`);
  const every = isQwen ? size("decoder_sparse_step", 1) : 1;
  const dense = isQwen ? (json["mlp_only_layers"] ?? []) : [];
  if (!Array.isArray(dense) || !dense.every(Number.isInteger))
    return fail(`mlp_only_layers: expected numbers of layers, found ${JSON.stringify(dense)}`);
  const layers = Array.from({ length: numLayers }, (_, i) => (i + 1) % every === 0 && !dense.includes(i));
  if (!layers.some(Boolean)) return undefined;
  return {
    numExperts,
    expertsPerToken,
    intermediateSize: isQwen ? size("moe_intermediate_size", 768) : size("intermediate_size", 14_336),
    normalizes: isQwen ? flag("norm_topk_prob", false) : true,
    balanceCoefficient: flag("output_router_logits", false) ? number("router_aux_loss_coef", 0.001) : 0,
    layers,
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
  if (family === "mistral" || family === "mixtral" || family === "qwen3_moe") return all.map(() => true);
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

/**
 * Trainable numbers: the embedding counts once where it is tied.
 * @param experts counted in each layer that has some: all, or those that a token goes to
 */
export function countParameters(config: ModelConfig, experts = config.mixture?.numExperts ?? 0): number {
  const { hiddenSize: d, headDim, numHeads, numKvHeads, vocabSize: v } = config;
  const q = numHeads * headDim;
  const kv = numKvHeads * headDim;
  const layer =
    d * (2 * q + 2 * kv) +
    (config.qkvBias ? q + 2 * kv : 0) +
    (config.outputBias ? d : 0) +
    2 * d +
    (config.qkNorm ? 2 * headDim : 0);
  let all = v * d * (config.tieEmbeddings ? 1 : 2) + config.numLayers * layer + d;
  for (let index = 0; index < config.numLayers; index++) all += feedForwardParameters(config, index, experts);
  return all;
}

/** Numbers of a layer's feed-forward, or of its router and `experts` of its experts. */
export function feedForwardParameters(config: ModelConfig, layer: number, experts: number): number {
  const { hiddenSize: d, intermediateSize: i, mixture } = config;
  if (mixture?.layers[layer] === true)
    return mixture.numExperts * d + experts * 3 * d * mixture.intermediateSize;
  return 3 * d * i + (config.mlpBias ? 2 * i + d : 0);
}

/** FLOPs of training on one token: 6 for each parameter in a product, and causal attention over `seqLen`. */
export function flopsPerToken(config: ModelConfig, seqLen: number): number {
  const products =
    countParameters(config, config.mixture?.expertsPerToken) -
    (config.tieEmbeddings ? 0 : config.vocabSize * config.hiddenSize);
  return 6 * products + 6 * config.numLayers * seqLen * config.numHeads * config.headDim;
}
