// What the config.json of every decoder has: sizes, heads, rotary embedding. A family adds its switches to it.
import type { ConfigReader } from "./config-reader.ts";
import type { ModelConfig } from "./model-config.ts";
import { readRope } from "./rope.ts";
import { fullAttention } from "./sliding-window.ts";

/** What Transformers takes where config.json leaves a key out. */
export interface DecoderDefaults {
  readonly maxPositions: number;
  /** Default: as many as heads. */
  readonly kvHeads?: number;
  /** Default: hidden size by heads. */
  readonly headDim?: number;
  /** Default: 10,000. */
  readonly ropeTheta?: number;
  /** Default: 1e-6. */
  readonly normEps?: number;
  /** The share of a head's dimensions that is rotated. Default: 1. */
  readonly partialRotary?: number;
  /** The key that names the activation. Default: hidden_act. */
  readonly activationKey?: string;
  /** Default: silu. */
  readonly activation?: string;
  /** Default: false. */
  readonly tieEmbeddings?: boolean;
}

const activations: Readonly<Record<string, ModelConfig["activation"]>> = {
  silu: "silu",
  swish: "silu",
  gelu_pytorch_tanh: "gelu_tanh",
  gelu_new: "gelu_tanh",
  gelu: "gelu",
};

function readActivation(
  json: ConfigReader,
  { activationKey: key = "hidden_act", activation = "silu" }: DecoderDefaults,
): ModelConfig["activation"] {
  const found = json.value(key) ?? activation;
  return (
    activations[found as string] ??
    json.fail(
      `${key}: expected one of ${Object.keys(activations).join(", ")}, found ${JSON.stringify(found)}`,
    )
  );
}

/** A decoder without biases, norms of heads, sliding windows and experts. @throws UserError, see ConfigReader */
export function readDecoder(json: ConfigReader, defaults: DecoderDefaults): ModelConfig {
  const hiddenSize = json.size("hidden_size");
  const numHeads = json.size("num_attention_heads", undefined, 1_000_000);
  const numLayers = json.size("num_hidden_layers", undefined, 10_000);
  const numKvHeads = json.size(
    "num_key_value_heads",
    json.value("num_key_value_heads") === null ? numHeads : (defaults.kvHeads ?? numHeads),
  );
  if (numHeads % numKvHeads !== 0)
    json.fail(`num_attention_heads (${numHeads}) must be a multiple of num_key_value_heads (${numKvHeads})`);
  const headDim = json.number("head_dim", defaults.headDim ?? hiddenSize / numHeads);
  if (!Number.isInteger(headDim) || headDim <= 0 || headDim % 2 !== 0 || headDim > 1_000_000)
    json.fail(`head_dim: expected an even whole number, found ${headDim}`);
  const maxPositions = json.size("max_position_embeddings", defaults.maxPositions);
  return {
    family: String(json.value("model_type")),
    vocabSize: json.size("vocab_size"),
    hiddenSize,
    intermediateSize: json.size("intermediate_size"),
    numLayers,
    numHeads,
    numKvHeads,
    headDim,
    normEps: json.number("rms_norm_eps", defaults.normEps ?? 1e-6),
    ropes: [
      readRope(json, {
        theta: defaults.ropeTheta ?? 10_000,
        headDim,
        partial: defaults.partialRotary ?? 1,
        maxPositions,
      }),
    ],
    ropeOfLayer: Array.from({ length: numLayers }, () => 0),
    ropeOfPairs: false,
    maxPositions,
    tieEmbeddings: json.flag("tie_word_embeddings", defaults.tieEmbeddings ?? false),
    qkvBias: false,
    outputBias: false,
    mlpBias: false,
    qkNorm: false,
    qkNormWhole: false,
    norms: { attentionIn: "input_layernorm", feedForwardIn: "post_attention_layernorm" },
    normOffset: 0,
    activation: readActivation(json, defaults),
    embeddingScale: 1,
    residualScale: 1,
    logitsScale: 1,
    attentionScale: undefined,
    attentionSoftCap: undefined,
    logitsSoftCap: undefined,
    joined: [],
    ...fullAttention(numLayers),
    moe: undefined,
  };
}
