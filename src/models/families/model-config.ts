// What a decoder is made of, in the words of the field. A family reads it from config.json; the decoder computes by it.

/** Llama 3.1's scaling of rotary frequencies. */
export interface Llama3RopeScaling {
  kind: "llama3";
  factor: number;
  lowFreqFactor: number;
  highFreqFactor: number;
  originalMaxPositions: number;
}
export type RopeScaling = Llama3RopeScaling | { kind: "linear"; factor: number };

/** The feed-forward of layers with experts (mixture of experts). */
export interface MoeConfig {
  numExperts: number;
  /** Experts that each token goes to. */
  expertsPerToken: number;
  /** Of each expert's feed-forward. */
  intermediateSize: number;
  /** Whether the weights of a token's experts are divided by their sum; else they are softmax's over all experts. */
  normTopkProb: boolean;
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
}

export interface ModelConfig {
  /** config.json's model_type. */
  family: string;
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
  /** Which layers use the sliding window. */
  slidingLayers: readonly boolean[];
  /** Undefined: every layer has one feed-forward. */
  moe: MoeConfig | undefined;
}
