// The metadata of a GGUF file that describe the model, by the keys that llama.cpp reads.
import { llama3Factors, type GgufEntry } from "../../gguf/index.ts";
import type { Family, ModelConfig } from "../../models/index.ts";
import { UserError } from "../../util/index.ts";
import { fileTypes, type GgufFileType } from "./types.ts";

type Names = NonNullable<Family["gguf"]>;

export const u32 = (value: number): GgufEntry => ({ type: "uint32", value });
export const f32 = (value: number): GgufEntry => ({ type: "float32", value });
export const text = (value: string): GgufEntry => ({ type: "text", value });

/** `general.*` and `ARCHITECTURE.*`. @throws UserError for what llama.cpp has no key for */
export function modelEntries(
  config: ModelConfig,
  names: Names,
  fileType: GgufFileType,
  name: string,
): [string, GgufEntry][] {
  const key = (suffix: string): string => `${names.architecture}.${suffix}`;
  const { moe } = config;
  return [
    ["general.architecture", text(names.architecture)],
    ["general.type", text("model")],
    ["general.name", text(name)],
    ["general.file_type", u32(fileTypes[fileType].id)],
    ["general.quantization_version", u32(2)],
    [key("vocab_size"), u32(config.vocabSize)],
    [key("block_count"), u32(config.numLayers)],
    [key("context_length"), u32(config.maxPositions)],
    [key("embedding_length"), u32(config.hiddenSize)],
    [key("feed_forward_length"), u32(config.intermediateSize)],
    [key("attention.head_count"), u32(config.numHeads)],
    [key("attention.head_count_kv"), u32(config.numKvHeads)],
    [key("attention.key_length"), u32(config.headDim)],
    [key("attention.value_length"), u32(config.headDim)],
    [key("attention.layer_norm_rms_epsilon"), f32(config.normEps)],
    [key("rope.dimension_count"), u32(ropeOf(config).dim)],
    [key("rope.freq_base"), f32(ropeOf(config).theta)],
    ...(config.slidingWindow === undefined
      ? []
      : ([[key("attention.sliding_window"), u32(config.slidingWindow)]] as [string, GgufEntry][])),
    ...(moe === undefined
      ? []
      : ([
          [key("expert_count"), u32(moe.numExperts)],
          [key("expert_used_count"), u32(moe.expertsPerToken)],
          [key("expert_feed_forward_length"), u32(moe.intermediateSize)],
        ] as [string, GgufEntry][])),
    ...ropeEntries(config, key),
  ];
}

/** The rotary embedding that all layers have. */
function ropeOf({ ropes, ropeOfLayer, family }: ModelConfig): ModelConfig["ropes"][number] {
  const [rope] = ropes;
  if (rope === undefined || ropes.length > 1 || ropeOfLayer.some((one) => one !== 0))
    throw new UserError(`--to gguf: expected a ${family} model whose layers have the same rotary embedding`);
  return rope;
}

function ropeEntries(config: ModelConfig, key: (suffix: string) => string): [string, GgufEntry][] {
  const { scaling } = ropeOf(config);
  if (scaling === undefined || scaling.kind === "llama3") return []; // llama3: a tensor, see ropeFactors
  if (scaling.kind === "linear")
    return [
      [key("rope.scaling.type"), text("linear")],
      [key("rope.scaling.factor"), f32(scaling.factor)],
    ];
  throw new UserError(
    `--to gguf: expected rope_scaling none, linear or llama3 in a ${config.family} model's config.json, found ${scaling.kind}`,
  );
}

/** What `rope_freqs.weight` holds: Llama 3.1's divisors of the rotary frequencies, [headDim / 2]. */
export function ropeFactors(config: ModelConfig): Float32Array | undefined {
  const { scaling, theta } = ropeOf(config);
  if (scaling?.kind !== "llama3") return undefined;
  return llama3Factors(
    {
      rope_type: "llama3",
      factor: scaling.factor,
      low_freq_factor: scaling.lowFreqFactor,
      high_freq_factor: scaling.highFreqFactor,
      original_max_position_embeddings: scaling.originalMaxPositions,
    },
    theta,
    config.headDim,
  );
}
