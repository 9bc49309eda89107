// What a decoder is made of, in the words of the field. A family reads it from config.json; the decoder computes by it.

/** How rotary frequencies are scaled: the kinds of Transformers' modeling_rope_utils. nn's rope.ts has the formulas. */
export type RopeScaling =
  | { kind: "linear"; factor: number }
  | { kind: "dynamic"; factor: number; originalMaxPositions: number }
  | {
      kind: "llama3";
      factor: number;
      lowFreqFactor: number;
      highFreqFactor: number;
      originalMaxPositions: number;
    }
  | {
      kind: "yarn";
      factor: number;
      betaFast: number;
      betaSlow: number;
      truncate: boolean;
      attentionFactor: number;
      originalMaxPositions: number;
    }
  | {
      kind: "longrope";
      shortFactor: number[];
      longFactor: number[];
      attentionFactor: number;
      originalMaxPositions: number;
    };

export interface RopeConfig {
  /** Dimensions of a head that are rotated, the first ones: fewer than all with partial_rotary_factor. */
  dim: number;
  theta: number;
  scaling: RopeScaling | undefined;
  /** Queries at position p are multiplied by 1 + beta * log(1 + floor(p / originalMaxPositions)) (Ministral 3). */
  queryScaling?: { beta: number; originalMaxPositions: number };
}

/** What a layer calls its norms, behind `model.layers.N.`; one that it lacks is undefined. */
export interface LayerNorms {
  /** Before attention, and of what it gives. */
  attentionIn?: string;
  attentionOut?: string;
  /** Before the feed-forward, and of what it gives. */
  feedForwardIn?: string;
  feedForwardOut?: string;
}

/** Matrices that files hold as one: the rows of `parts`, one after the other, are those of `into`. Behind `model.layers.N.`. */
export interface JoinedMatrices {
  into: string;
  parts: string[];
}

/** The feed-forward of layers with experts (mixture of experts). */
export interface MoeConfig {
  numExperts: number;
  /** Experts that each token goes to. */
  expertsPerToken: number;
  /** Of each expert's feed-forward. */
  intermediateSize: number;
  /** Whether the weights of a token's experts are divided by their sum; else they are those over all experts. */
  normTopkProb: boolean;
  /** What experts are scored by: softmax over all of them, or each by itself (DeepSeek-V3). */
  scores: "softmax" | "sigmoid";
  /** A token goes to experts of the best `chosen` of `count` groups alone; a group is as good as its best two experts. */
  groups: { count: number; chosen: number } | undefined;
  /** What the weights of a token's experts are multiplied by. */
  weightScale: number;
  /** All experts lie in one tensor, with biases, and their gates are bounded (gpt-oss); undefined: each has matrices of its own. */
  stacked?: { alpha: number; limit: number };
  /** The feed-forward that every token goes to as well; undefined: none. */
  shared: { intermediateSize: number } | undefined;
  /** Weight of the load-balancing loss (router_aux_loss_coef); 0 unless config.json has output_router_logits: true. */
  auxLossCoef: number;
  /** Which layers have experts; the others have one feed-forward of ModelConfig.intermediateSize. */
  layers: readonly boolean[];
  names: MoeNames;
}

/** What a layer calls the parameters of its experts, behind `model.layers.N.`. */
export interface MoeNames {
  /** `mlp.gate` */
  router: string;
  /** `mlp.experts` */
  experts: string;
  /** The matrices of an expert, behind `EXPERTS.N.`. */
  gate: string;
  up: string;
  down: string;
  /** What is added to scores where experts are chosen (`mlp.gate.e_score_correction_bias`); no gradient reaches it. */
  correction?: string;
  /** The feed-forward of all tokens, and of one that a sigmoid weighs the matrix of that. */
  shared?: string;
  sharedGate?: string;
}

/** Latent attention: keys, values and perhaps queries are products of small vectors (DeepSeek-V3). */
export interface LatentConfig {
  /** Of queries; undefined: they have none. */
  queryRank: number | undefined;
  keyValueRank: number;
  /** Of each head's queries and keys, the last dimensions, which are rotated. */
  ropeDim: number;
  valueDim: number;
  /** Of the matrices that give latent vectors. */
  bias: boolean;
}

/** Where files of a model that takes images or sound as well have its language model. */
export interface TextTower {
  /** In place of `model.`: `model.language_model.` */
  prefix: string;
  /** In place of `lm_head.` */
  head: string;
}

export interface ModelConfig {
  /** config.json's model_type, of its text_config where it has one. */
  family: string;
  /** Undefined: it is a language model alone. */
  tower?: TextTower;
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  numLayers: number;
  numHeads: number;
  numKvHeads: number;
  headDim: number;
  normEps: number;
  /** The rotary embeddings that layers have. */
  ropes: RopeConfig[];
  /** Which of them each layer has; null: none (NoPE). */
  ropeOfLayer: (number | null)[];
  /** Rotated dimensions are pairs of neighbours, not of halves. */
  ropeOfPairs: boolean;
  maxPositions: number;
  tieEmbeddings: boolean;
  /** Biases on the q, k and v projections (Qwen2). */
  qkvBias: boolean;
  /** A bias on o_proj too (Llama's attention_bias). */
  outputBias: boolean;
  /** Biases in the feed-forward layers (Llama's mlp_bias). */
  mlpBias: boolean;
  /** RMSNorm of q and k, over each head (Qwen3), or over all heads together (OLMo 2). */
  qkNorm: boolean;
  qkNormWhole: boolean;
  norms: LayerNorms;
  /** What norms add to their weights: 1 in Gemma. */
  normOffset: 0 | 1;
  activation: "silu" | "gelu_tanh" | "gelu";
  /** What the embedding, what each part of a layer adds, and the logits are multiplied by. */
  embeddingScale: number;
  residualScale: number;
  logitsScale: number;
  /** What attention's scores are multiplied by; undefined: 1 / sqrt(headDim). */
  attentionScale: number | undefined;
  /** Bounds s to cap * tanh(s / cap). */
  attentionSoftCap: number | undefined;
  logitsSoftCap: number | undefined;
  /** Layers behind the last one that files have, and that predict further tokens: they aren't computed. */
  layersBeyond?: number;
  /** Each head has a score that takes its share of softmax and gives nothing (`self_attn.sinks`). */
  hasSinks?: boolean;
  /** Undefined: queries, keys and values are products of hidden states. */
  latent?: LatentConfig;
  /** Where files hold several of a layer's matrices as one. */
  joined: JoinedMatrices[];
  /** Tokens that each one sees, itself included; undefined: all before it. */
  slidingWindow: number | undefined;
  /** Which layers use the sliding window. */
  slidingLayers: readonly boolean[];
  /** Undefined: every layer has one feed-forward. */
  moe: MoeConfig | undefined;
  /** How the matrices of linear layers are quantized in the model's files; undefined: they aren't. */
  quantization?: { format: "nf4"; doubleQuant: boolean; skip: readonly string[] };
}
