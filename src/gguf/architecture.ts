// Converts a GGUF architecture to Hugging Face's: config.json, the tensors' names, and the order of q's and k's rows. Knows only the
// families that torchforge trains, and refuses others by name.
import { families, type Family, type GgufNames } from "../models/families/index.ts";
import { UserError } from "../util/index.ts";
import type { GgufFile, GgufTensor } from "./reader.ts";
import { ropeScaling } from "./rope-scaling.ts";

export interface Architecture {
  readonly family: Family;
  readonly names: GgufNames;
  readonly numHeads: number;
  readonly numKvHeads: number;
  /** Whether the lm-head shares the embedding's weight. */
  readonly tied: boolean;
}

/** The family of a file. @throws UserError for an unknown architecture */
export function architectureOf(file: GgufFile): Architecture {
  const name = file.text("general.architecture");
  const hasWindow = file.metadata.has(`${name}.attention.sliding_window`);
  const known = families.flatMap((family) => (family.gguf ? [{ family, names: family.gguf }] : []));
  const found = known.find(
    ({ names: { architecture, hasSlidingWindow } }) =>
      architecture === name && (hasSlidingWindow ?? hasWindow) === hasWindow,
  );
  if (found === undefined) {
    const architectures = [...new Set(known.map(({ names }) => names.architecture))];
    throw new UserError(
      `${file.path}: expected general.architecture to be one of ${architectures.join(", ")}, found ${name}`,
    );
  }
  const numHeads = sameInAllLayers(file, `${name}.attention.head_count`);
  const numKvHeads = file.metadata.has(`${name}.attention.head_count_kv`)
    ? sameInAllLayers(file, `${name}.attention.head_count_kv`)
    : numHeads;
  if (file.metadata.has(`${name}.expert_count`) && file.number(`${name}.expert_count`) > 0) {
    throw new UserError(`${file.path}: expected a dense model, found a mixture of experts`);
  }
  return { ...found, numHeads, numKvHeads, tied: !has(file, "output.weight") };
}

function has(file: GgufFile, name: string): boolean {
  return file.tensors.some((tensor) => tensor.name === name);
}

/** Some files have head counts per layer; models whose layers differ are not supported. */
function sameInAllLayers(file: GgufFile, key: string): number {
  const value = file.metadata.get(key);
  if (!Array.isArray(value)) return file.number(key);
  const first = value[0];
  if (typeof first !== "number" || value.some((item) => item !== first)) {
    throw new UserError(`${file.path}: expected ${key} to be the same in all layers`);
  }
  return first;
}

/** The content of config.json, without keys that depend on the tokenizer or the dtype. */
export function modelConfig(
  file: GgufFile,
  { family, names, ...arch }: Architecture,
): Record<string, unknown> {
  const key = (suffix: string): string => `${names.architecture}.${suffix}`;
  const optional = (suffix: string): number | undefined =>
    file.metadata.has(key(suffix)) ? file.number(key(suffix)) : undefined;
  const hiddenSize = file.number(key("embedding_length"));
  const headDim = optional("attention.key_length") ?? optional("rope.dimension_count");
  const defaultHeadDim = hiddenSize / arch.numHeads;
  const window = optional("attention.sliding_window");
  const bias = has(file, "blk.0.attn_q.bias");
  if (names.hasOneBiasSwitch === true && bias !== has(file, "blk.0.attn_output.bias")) {
    throw new UserError(
      `${file.path}: expected biases on all of q, k, v and o or on none; config.json of Llama models has one switch for them`,
    );
  }
  return {
    architectures: [names.transformersClass],
    attention_dropout: 0,
    ...(headDim !== undefined && (headDim !== defaultHeadDim || names.writesHeadDim === true)
      ? { head_dim: headDim }
      : {}),
    hidden_act: "silu",
    hidden_size: hiddenSize,
    initializer_range: 0.02,
    intermediate_size: file.number(key("feed_forward_length")),
    max_position_embeddings: file.number(key("context_length")),
    model_type: family.modelType,
    num_attention_heads: arch.numHeads,
    num_hidden_layers: file.number(key("block_count")),
    num_key_value_heads: arch.numKvHeads,
    rms_norm_eps: shortestFloat32(file.number(key("attention.layer_norm_rms_epsilon"))),
    rope_scaling: ropeScaling(file, names.architecture, headDim ?? defaultHeadDim),
    rope_theta: shortestFloat32(optional("rope.freq_base") ?? 10000),
    ...(window !== undefined ? { sliding_window: window } : {}),
    tie_word_embeddings: arch.tied,
    use_cache: true,
    ...names.json(bias),
  };
}

/** The shortest decimal of a float32: 1e-5 instead of 0.000009999999747378752. */
export function shortestFloat32(value: number): number {
  for (let digits = 1; digits < 10; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return value;
}

/** The Hugging Face name of a tensor; undefined for `rope_freqs`, which config.json describes. */
export function huggingFaceName({ names }: Architecture, path: string, name: string): string | undefined {
  if (name === "token_embd.weight") return "model.embed_tokens.weight";
  if (name === "output_norm.weight") return "model.norm.weight";
  if (name === "output.weight") return "lm_head.weight";
  if (name === "rope_freqs.weight") return undefined;
  const match = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name);
  const part = match === null ? undefined : names.layer[match[2]!];
  if (match === null || part === undefined) {
    throw new UserError(
      `${path}: tensor ${name} has no place in a model that torchforge knows; the file may be of another family`,
    );
  }
  return `model.layers.${match[1]}.${part}.${match[3]}`;
}

/** The number of heads of a tensor whose rows were permuted; undefined if they weren't. */
export function permutedHeads(
  arch: Pick<Architecture, "names" | "numHeads" | "numKvHeads">,
  tensor: Pick<GgufTensor, "name">,
): number | undefined {
  if (!arch.names.interleavesRotary) return undefined;
  if (/^blk\.\d+\.attn_q\.(weight|bias)$/.test(tensor.name)) return arch.numHeads;
  if (/^blk\.\d+\.attn_k\.(weight|bias)$/.test(tensor.name)) return arch.numKvHeads;
  return undefined;
}

/**
 * The row of llama.cpp's q or k projection that is `row` of Transformers': llama.cpp interleaves each head's rotary pairs
 * (i, i + headDim / 2), Transformers keeps the two halves apart.
 */
export function permutedRow(row: number, headDim: number): number {
  const indexInHead = row % headDim;
  const half = headDim / 2;
  return row - indexInHead + (indexInHead < half ? indexInHead * 2 : (indexInHead - half) * 2 + 1);
}
