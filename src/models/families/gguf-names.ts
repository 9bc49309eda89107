// What llama.cpp's GGUF files call a decoder's parts, and what a family's config.json says beside what their metadata tell.
// Reading the files is gguf's business.

export interface GgufNames {
  /** `general.architecture`. Families may share one: then `hasSlidingWindow` tells them apart. */
  readonly architecture: string;
  /** Whether the metadata have `attention.sliding_window`; undefined: either. */
  readonly hasSlidingWindow?: boolean;
  /** Transformers' class. */
  readonly transformersClass: string;
  /** Whether each head's rotary pairs are interleaved in the rows of q and k. */
  readonly interleavesRotary: boolean;
  /** Whether config.json has one switch for the biases of q, k, v and o, so that a file has all of them or none. */
  readonly hasOneBiasSwitch?: boolean;
  /** Whether head_dim is written even where it is hidden size by heads. */
  readonly writesHeadDim?: boolean;
  /** Further keys of config.json. */
  readonly json: (bias: boolean) => Readonly<Record<string, unknown>>;
  /** Modules of a layer: from GGUF's `blk.N.KEY.weight` to Hugging Face's `model.layers.N.VALUE.weight`. */
  readonly layer: Readonly<Record<string, string>>;
}

/** Those of a pre-norm decoder with a gated feed-forward. */
export const decoderLayer: Readonly<Record<string, string>> = {
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
