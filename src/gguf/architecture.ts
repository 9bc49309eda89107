// What a GGUF architecture means in Hugging Face terms: config.json, the names of the tensors, and how rows of q and k
// were reordered. Only decoder families that torchforge trains are known; others are refused by name.
import { UserError } from "../util/index.ts";
import type { GgufFile, GgufTensor } from "./reader.ts";
import { ropeScaling } from "./rope-scaling.ts";

interface Family {
  readonly architecture: string;
  readonly modelType: string;
  /** llama.cpp stores q and k of this family with each head's rotary pairs interleaved. */
  readonly permuted: boolean;
  readonly attentionBias: boolean;
}

const families: Readonly<Record<string, Family>> = {
  llama: { architecture: "LlamaForCausalLM", modelType: "llama", permuted: true, attentionBias: false },
  qwen2: { architecture: "Qwen2ForCausalLM", modelType: "qwen2", permuted: false, attentionBias: true },
  qwen3: { architecture: "Qwen3ForCausalLM", modelType: "qwen3", permuted: false, attentionBias: false },
};

export interface Architecture {
  readonly name: string;
  readonly family: Family;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly tied: boolean;
}

/** Which family a file holds. @throws UserError for an architecture that isn't known here. */
export function architectureOf(file: GgufFile): Architecture {
  const name = file.text("general.architecture");
  const family = families[name];
  if (family === undefined) {
    throw new UserError(
      `${file.path}: expected general.architecture to be one of ${Object.keys(families).join(", ")}, found ${name}`,
    );
  }
  const numHeads = perLayer(file, `${name}.attention.head_count`);
  const numKvHeads = file.metadata.has(`${name}.attention.head_count_kv`)
    ? perLayer(file, `${name}.attention.head_count_kv`)
    : numHeads;
  if (file.metadata.has(`${name}.expert_count`) && file.number(`${name}.expert_count`) > 0) {
    throw new UserError(`${file.path}: expected a dense model, found a mixture of experts`);
  }
  const tied = !has(file, "output.weight");
  return { name, family, numHeads, numKvHeads, tied };
}

function has(file: GgufFile, name: string): boolean {
  return file.tensors.some((tensor) => tensor.name === name);
}

/** Some files give head counts layer by layer; models whose layers differ are not supported. */
function perLayer(file: GgufFile, key: string): number {
  const value = file.metadata.get(key);
  if (!Array.isArray(value)) return file.number(key);
  const first = value[0];
  if (typeof first !== "number" || value.some((item) => item !== first)) {
    throw new UserError(`${file.path}: expected ${key} to be the same in all layers`);
  }
  return first;
}

/** config.json, without the keys that depend on the tokenizer or the dtype. */
export function modelConfig(file: GgufFile, arch: Architecture): Record<string, unknown> {
  const key = (suffix: string): string => `${arch.name}.${suffix}`;
  const optional = (suffix: string): number | undefined =>
    file.metadata.has(key(suffix)) ? file.number(key(suffix)) : undefined;
  const hiddenSize = file.number(key("embedding_length"));
  const headDim = optional("attention.key_length") ?? optional("rope.dimension_count");
  const defaultHeadDim = hiddenSize / arch.numHeads;
  const window = optional("attention.sliding_window");
  const mistral = arch.name === "llama" && window !== undefined;
  const attentionBias = arch.family.attentionBias || has(file, "blk.0.attn_q.bias");
  if (arch.name === "llama" && attentionBias !== has(file, "blk.0.attn_output.bias")) {
    throw new UserError(
      `${file.path}: expected biases on all of q, k, v and o or on none; config.json of Llama models has one switch for them`,
    );
  }
  const isLlama = arch.name === "llama" && !mistral;
  return {
    architectures: [mistral ? "MistralForCausalLM" : arch.family.architecture],
    ...(isLlama || arch.name === "qwen3" ? { attention_bias: attentionBias } : {}),
    attention_dropout: 0,
    ...(headDim !== undefined && (headDim !== defaultHeadDim || arch.name === "qwen3")
      ? { head_dim: headDim }
      : {}),
    hidden_act: "silu",
    hidden_size: hiddenSize,
    initializer_range: 0.02,
    intermediate_size: file.number(key("feed_forward_length")),
    max_position_embeddings: file.number(key("context_length")),
    ...(isLlama ? { mlp_bias: false, pretraining_tp: 1 } : {}),
    model_type: mistral ? "mistral" : arch.family.modelType,
    num_attention_heads: arch.numHeads,
    num_hidden_layers: file.number(key("block_count")),
    num_key_value_heads: arch.numKvHeads,
    rms_norm_eps: shortestFloat32(file.number(key("attention.layer_norm_rms_epsilon"))),
    rope_scaling: ropeScaling(file, arch.name, headDim ?? defaultHeadDim),
    rope_theta: shortestFloat32(optional("rope.freq_base") ?? 10000),
    ...(window !== undefined ? { sliding_window: window } : {}),
    ...(arch.name.startsWith("qwen") ? { use_sliding_window: false } : {}),
    tie_word_embeddings: arch.tied,
    use_cache: true,
  };
}

/** 1e-5 and not 0.000009999999747378752, which is the same float32. */
export function shortestFloat32(value: number): number {
  for (let digits = 1; digits < 10; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return value;
}

const layerParts: Readonly<Record<string, string>> = {
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
  attn_norm: "input_layernorm",
  ffn_norm: "post_attention_layernorm",
};

/** The Hugging Face name of a tensor; undefined for `rope_freqs`, which config.json expresses. */
export function huggingFaceName(path: string, name: string): string | undefined {
  if (name === "token_embd.weight") return "model.embed_tokens.weight";
  if (name === "output_norm.weight") return "model.norm.weight";
  if (name === "output.weight") return "lm_head.weight";
  if (name === "rope_freqs.weight") return undefined;
  const match = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name);
  const part = match === null ? undefined : layerParts[match[2]!];
  if (match === null || part === undefined) {
    throw new UserError(
      `${path}: tensor ${name} has no place in a model that torchforge knows; the file may be of another family`,
    );
  }
  return `model.layers.${match[1]}.${part}.${match[3]}`;
}

/** How many heads a tensor's rows must be put back in order for; undefined where nothing was reordered. */
export function permutedHeads(arch: Architecture, tensor: GgufTensor): number | undefined {
  if (!arch.family.permuted) return undefined;
  if (/^blk\.\d+\.attn_q\.(weight|bias)$/.test(tensor.name)) return arch.numHeads;
  if (/^blk\.\d+\.attn_k\.(weight|bias)$/.test(tensor.name)) return arch.numKvHeads;
  return undefined;
}

/**
 * Row `to` of a Hugging Face q or k projection is this row of llama.cpp's: it interleaves each head's rotary pairs
 * (i, i + headDim / 2), where Transformers keeps the two halves apart.
 */
export function permutedRow(to: number, headDim: number): number {
  const within = to % headDim;
  const half = headDim / 2;
  return to - within + (within < half ? within * 2 : (within - half) * 2 + 1);
}
