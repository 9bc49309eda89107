// The blocks of a decoder: embedding, layers, head. Each holds its parameters under their Hugging Face names, and
// computes; who calls them in which order is the training step's business (train/step.ts).
// Tokens of a batch lie in one row, [T], document after document, without padding.
import {
  call,
  embedding,
  embeddingDenseBackward,
  grad,
  int64,
  linear,
  noGrad,
  type Dtype,
  type Tensor,
} from "../torch/index.ts";
import { documentAttention } from "./attention.ts";
import type { ModelConfig } from "./model-config.ts";

/** What all layers need to know of a batch. */
export interface Sequence {
  /** Position of each token in its document: [T], int64. */
  positions: Tensor;
  /** Tokens of each document, in order; their sum is T. */
  lengths: readonly number[];
}

/** What a layer keeps for its backward pass. */
export interface LayerOptions {
  /**
   * Keep the outputs of matrix products and attention only, and make norms and activations again (selective activation
   * checkpointing, `op`). Default true: it costs about one pass over memory and saves a third of it.
   */
  recompute?: boolean;
  /** Sees keys and values: how generation fills its cache. */
  onKeysValues?: (kv: KeysValues) => void;
}

/** Keys and values of one layer: [T, K, d] each. */
export interface KeysValues {
  k: Tensor;
  v: Tensor;
}

/** Tables of rotary embedding: [positions, d / 2] each. */
export interface Rope {
  cos: Tensor;
  sin: Tensor;
}

export type Parameters = ReadonlyMap<string, Tensor>;

const required = (parameters: Parameters, name: string): Tensor => {
  const found = parameters.get(name);
  if (!found) throw new Error(`no parameter ${name}`);
  return found;
};

/** Token embedding: [T] to [T, D]. */
export class Embedding {
  readonly weight: Tensor;

  constructor(parameters: Parameters) {
    this.weight = required(parameters, "model.embed_tokens.weight");
  }

  /** tokens: [T], int64. */
  forward(tokens: Tensor): Tensor {
    return noGrad(() => embedding(this.weight, tokens));
  }

  /**
   * Adds the gradient to `weight.grad`. Where the head has left one there (tied weights), only the rows of the batch's
   * tokens are touched.
   */
  backward(tokens: Tensor, gradOutput: Tensor): void {
    if (!this.weight.requiresGrad) return;
    const found = this.weight.grad;
    const own = gradOutput.to(this.weight.dtype);
    if (found) noGrad(() => found.indexAdd_(0, tokens, own));
    else this.weight.grad = embeddingDenseBackward(own, tokens, this.weight.size(0), -1, false);
  }
}

/** One pre-norm decoder layer: grouped-query attention with rotary positions, then a SwiGLU feed-forward. */
export class DecoderLayer {
  readonly index: number;
  /** Those that are trained, in a fixed order. */
  readonly parameters: readonly Tensor[];
  readonly #config: ModelConfig;
  readonly #source: Parameters;
  readonly #window: number | undefined;
  readonly #weights: {
    inputNorm: Tensor;
    qkv: readonly Tensor[];
    qkvBias: readonly Tensor[];
    qNorm: Tensor | undefined;
    kNorm: Tensor | undefined;
    output: Tensor;
    outputBias: Tensor | undefined;
    postNorm: Tensor;
    gateUp: readonly Tensor[];
    gateUpBias: readonly Tensor[];
    down: Tensor;
    downBias: Tensor | undefined;
  };

  constructor(config: ModelConfig, parameters: Parameters, index: number) {
    this.index = index;
    this.#source = parameters;
    this.#config = config;
    this.#window = config.slidingLayers[index] ? config.slidingWindow : undefined;
    const get = (name: string) => required(parameters, `model.layers.${index}.${name}`);
    const all = (names: readonly string[], part: string) => names.map((name) => get(`${name}.${part}`));
    const qkv = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"];
    const gateUp = ["mlp.gate_proj", "mlp.up_proj"];
    this.#weights = {
      inputNorm: get("input_layernorm.weight"),
      qkv: all(qkv, "weight"),
      qkvBias: config.qkvBias ? all(qkv, "bias") : [],
      qNorm: config.qkNorm ? get("self_attn.q_norm.weight") : undefined,
      kNorm: config.qkNorm ? get("self_attn.k_norm.weight") : undefined,
      output: get("self_attn.o_proj.weight"),
      outputBias: config.outputBias ? get("self_attn.o_proj.bias") : undefined,
      postNorm: get("post_attention_layernorm.weight"),
      gateUp: all(gateUp, "weight"),
      gateUpBias: config.mlpBias ? all(gateUp, "bias") : [],
      down: get("mlp.down_proj.weight"),
      downBias: config.mlpBias ? get("mlp.down_proj.bias") : undefined,
    };
    this.parameters = Object.values(this.#weights)
      .flat()
      .filter((one): one is Tensor => one !== undefined);
  }

  /** Projections of rms_norm(x): [T, D] to one [T, O] for each weight. */
  #normLinear(
    x: Tensor,
    norm: Tensor,
    weights: readonly Tensor[],
    biases: readonly Tensor[],
    recompute: boolean,
  ): Tensor[] {
    const eps = this.#config.normEps;
    if (recompute) return call<Tensor[]>("forge::norm_linear", x, norm, weights, biases, eps);
    const normed = call("forge::rms_norm", x, norm, eps);
    return weights.map((weight, i) => linear(normed, weight, biases[i] ?? null));
  }

  /** Rotated queries [T, H, d], rotated keys and values [T, K, d] of hidden states x: [T, D]. */
  project(x: Tensor, positions: Tensor, rope: Rope, recompute = true): { q: Tensor; k: Tensor; v: Tensor } {
    const { headDim, normEps, numHeads, numKvHeads } = this.#config;
    const w = this.#weights;
    const [q, k, v] = this.#normLinear(x, w.inputNorm, w.qkv, w.qkvBias, recompute) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    const tokens = x.size(0);
    let heads = q.view([1, tokens, numHeads, headDim]);
    let keys = k.view([1, tokens, numKvHeads, headDim]);
    if (w.qNorm && w.kNorm) {
      heads = call("forge::rms_norm", heads, w.qNorm, normEps);
      keys = call("forge::rms_norm", keys, w.kNorm, normEps);
    }
    const [rq, rk] = call<[Tensor, Tensor]>(
      "forge::rotary_embedding",
      heads,
      keys,
      rope.cos,
      rope.sin,
      positions,
    );
    return { q: rq.squeeze(0), k: rk.squeeze(0), v: v.view([tokens, numKvHeads, headDim]) };
  }

  /** The rest of the layer: x: [T, D] is its input, attended: [T, H * d] what attention gave. */
  finish(x: Tensor, attended: Tensor, recompute = true): Tensor {
    const w = this.#weights;
    const residual = call("forge::add_linear", w.outputBias ? x.add(w.outputBias) : x, attended, w.output);
    const [gate, up] = this.#normLinear(residual, w.postNorm, w.gateUp, w.gateUpBias, recompute) as [
      Tensor,
      Tensor,
    ];
    const base = w.downBias ? residual.add(w.downBias) : residual;
    if (recompute) return call("forge::swiglu_linear", gate, up, w.down, base);
    return call("forge::add_linear", base, call("forge::swiglu", gate, up), w.down);
  }

  /** x: [T, D] to [T, D]. */
  forward(x: Tensor, sequence: Sequence, rope: Rope, options: LayerOptions = {}): Tensor {
    const recompute = options.recompute ?? true;
    const { q, k, v } = this.project(x, sequence.positions, rope, recompute);
    options.onKeysValues?.({ k, v });
    const attended = documentAttention(q, k, v, { lengths: sequence.lengths, window: this.#window });
    return this.finish(x, attended, recompute);
  }

  /** The same layer with weights of another dtype, for mixed precision: leaves of their own, in the same order. */
  cast(dtype: Dtype): DecoderLayer {
    const prefix = `model.layers.${this.index}.`;
    const own = [...this.#source].filter(([name]) => name.startsWith(prefix));
    return new DecoderLayer(
      this.#config,
      new Map(own.map(([name, one]) => [name, castLeaf(one, dtype)])),
      this.index,
    );
  }

  get window(): number | undefined {
    return this.#window;
  }
}

/** Final norm, lm_head and loss. The logits of a batch never exist at once. */
export class Head {
  readonly norm: Tensor;
  /** [V, D]; the embedding's own tensor where the two are tied. */
  readonly weight: Tensor;
  readonly #eps: number;

  constructor(config: Pick<ModelConfig, "normEps" | "tieEmbeddings">, parameters: Parameters) {
    this.norm = required(parameters, "model.norm.weight");
    this.weight = required(parameters, config.tieEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight");
    this.#eps = config.normEps;
  }

  #cast(dtype: Dtype): Head {
    const leaves = new Map([
      ["model.norm.weight", castLeaf(this.norm, dtype)],
      ["lm_head.weight", castLeaf(this.weight, dtype)],
    ]);
    return new Head({ normEps: this.#eps, tieEmbeddings: false }, leaves);
  }

  /** Logits of hidden states x: [n, D] to [n, V]. */
  logits(x: Tensor): Tensor {
    return linear(call("forge::rms_norm", x, this.norm, this.#eps), this.weight);
  }

  /**
   * Sum of the token losses of x: [T, D] with labels: [T] (-100: none), times `scale`.
   * @param chunk logits held at once; 0 lets the operator choose
   */
  loss(x: Tensor, labels: Tensor, scale: number, chunk = 0): Tensor {
    const normed = call("forge::rms_norm", x, this.norm, this.#eps);
    return call<[Tensor, Tensor]>(
      "forge::linear_cross_entropy",
      normed,
      this.weight,
      labels,
      -100,
      chunk,
      scale,
    )[0];
  }

  /** The loss and the gradient with respect to x; gradients of the parameters are added to their `.grad`. */
  lossAndGradient(x: Tensor, labels: Tensor, scale: number, chunk = 0): { loss: Tensor; gradX: Tensor } {
    const input = x.detach().requiresGrad_();
    const mixed = x.dtype !== this.weight.dtype;
    const used = mixed ? this.#cast(x.dtype) : this;
    const loss = used.loss(input, labels, scale, chunk);
    const trained = [this.norm, this.weight].filter((one) => one.requiresGrad);
    const leaves = [used.norm, used.weight].filter((one) => one.requiresGrad);
    const [gradX, ...rest] = grad(loss, [input, ...leaves]) as [Tensor, ...Tensor[]];
    for (const [i, parameter] of trained.entries()) accumulate(parameter, rest[i]!);
    return { loss: loss.detach(), gradX };
  }
}

function castLeaf(parameter: Tensor, dtype: Dtype): Tensor {
  return noGrad(() => parameter.to(dtype))
    .detach()
    .requiresGrad_(parameter.requiresGrad);
}

/** Adds to a parameter's `.grad`, taking the first gradient as it is. */
export function accumulate(parameter: Tensor, gradient: Tensor): void {
  const found = parameter.grad;
  if (found) noGrad(() => found.add_(gradient));
  else parameter.grad = gradient.to(parameter.dtype);
}

/** int64 ids as embedding and labels take them. */
export const idType = int64;
