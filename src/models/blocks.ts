// The blocks of a decoder: embedding, layers, head. Each holds its parameters under their Hugging Face names, and
// computes; who calls them in which order is the training step's business (train/engine/step.ts).
// Tokens of a batch lie in one row, [T], document after document, without padding.
import {
  call,
  embedding,
  embeddingDenseBackward,
  grad,
  int64,
  linear,
  noGrad,
  zeros,
  type Dtype,
  type Tensor,
} from "../torch/index.ts";
import type { CutRows, ExpertExchange, TensorRegion } from "../parallel/index.ts";
import { documentAttention } from "./attention.ts";
import { mixtureNames, route, runExperts, type MixtureWeights, type Routing } from "./mixture.ts";
import type { ModelConfig } from "./model-config.ts";
import { embedOwnTokens, embedOwnTokensBackward, vocabularyLoss } from "./vocabulary-parallel.ts";

/** What all layers need to know of a batch. */
export interface Sequence {
  /** Position of each token in its document: [T], int64. */
  positions: Tensor;
  /** Tokens of each document, in order; their sum is T, or that of all ranks' with a cut. */
  lengths: readonly number[];
  /** See AttentionOptions. */
  boundaries?: Tensor | undefined;
  /** Where the T tokens are this rank's chunks of documents that are cut (context parallelism). */
  cut?: CutRows | undefined;
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
  /** Sees each product with weights: its outputs, and what of the weights and biases belongs to it. */
  onProduct?: (product: Product) => void;
  /** Sees which experts the tokens went to, where the layer has some: for the balancing loss. */
  onRouting?: (routing: Routing) => void;
  /** Where some tokens pad a row, and routing doesn't count them: false for those, [T], bool. */
  real?: Tensor | undefined;
}

/** Outputs of matrix products of one input, and the weights and biases that they are made with. */
export interface Product {
  readonly outputs: readonly Tensor[];
  readonly weights: readonly Tensor[];
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

/** What processes do together inside a layer. */
export interface LayerSeams {
  /** Where the parameters are one rank's part of every matrix. */
  readonly region?: TensorRegion | undefined;
  /** Where this process has some of the experts. */
  readonly exchange?: ExpertExchange | undefined;
}

const required = (parameters: Parameters, name: string): Tensor => {
  const found = parameters.get(name);
  if (!found) throw new Error(`no parameter ${name}`);
  return found;
};

/** Token embedding: [T] to [T, D]. */
export class Embedding {
  readonly weight: Tensor;
  readonly #region: TensorRegion | undefined;

  constructor(parameters: Parameters, region?: TensorRegion) {
    this.weight = required(parameters, "model.embed_tokens.weight");
    this.#region = region;
  }

  /** tokens: [T], int64. */
  forward(tokens: Tensor): Tensor {
    const region = this.#region;
    if (region !== undefined) return noGrad(() => region.leave(embedOwnTokens(region, this.weight, tokens)));
    return noGrad(() => embedding(this.weight, tokens));
  }

  /**
   * Adds the gradient to `weight.grad`. Where the head has left one there (tied weights), only the rows of the batch's
   * tokens are touched.
   */
  backward(tokens: Tensor, gradOutput: Tensor): void {
    if (!this.weight.requiresGrad) return;
    if (this.#region !== undefined) {
      embedOwnTokensBackward(this.#region, this.weight, tokens, gradOutput);
      return;
    }
    const found = this.weight.grad;
    const own = gradOutput.to(this.weight.dtype);
    if (found) noGrad(() => found.indexAdd_(0, tokens, own));
    else this.weight.grad = embeddingDenseBackward(own, tokens, this.weight.size(0), -1, false);
  }
}

/**
 * One pre-norm decoder layer: grouped-query attention with rotary positions, then a SwiGLU feed-forward, or a mixture of
 * such. With a region the
 * weights are one rank's part of every matrix, and x and what comes out are its stretch of the sequence, [T / ranks, D].
 */
export class DecoderLayer {
  readonly index: number;
  /** Those that are trained, in a fixed order. */
  readonly parameters: readonly Tensor[];
  readonly #config: ModelConfig;
  readonly #source: Parameters;
  readonly #seams: LayerSeams;
  readonly #region: TensorRegion | undefined;
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
  };
  /** Undefined where the layer has experts. */
  readonly #feedForward:
    | {
        gateUp: readonly Tensor[];
        gateUpBias: readonly Tensor[];
        down: Tensor;
        downBias: Tensor | undefined;
      }
    | undefined;
  readonly #mixture: MixtureWeights | undefined;

  /** @param config with the heads that the parameters have: of one rank, with a region */
  constructor(config: ModelConfig, parameters: Parameters, index: number, seams: LayerSeams = {}) {
    this.index = index;
    this.#seams = seams;
    this.#region = seams.region;
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
    };
    if (config.mixture?.layers[index] === true) {
      const { router, gate, up, down } = mixtureNames(config);
      // Those that this process has.
      const own = Array.from({ length: config.mixture.numExperts }, (_, i) => i).filter((expert) =>
        parameters.has(`model.layers.${index}.${gate(expert)}`),
      );
      const of = (name: (expert: number) => string) => own.map((expert) => get(name(expert)));
      this.#mixture = { router: get(router), gate: of(gate), up: of(up), down: of(down) };
    } else {
      this.#feedForward = {
        gateUp: all(gateUp, "weight"),
        gateUpBias: config.mlpBias ? all(gateUp, "bias") : [],
        down: get("mlp.down_proj.weight"),
        downBias: config.mlpBias ? get("mlp.down_proj.bias") : undefined,
      };
    }
    this.parameters = [this.#weights, this.#feedForward ?? {}, this.#mixture ?? {}]
      .flatMap((group) => Object.values(group))
      .flat()
      .filter((one): one is Tensor => one !== undefined);
  }

  /** Projections of rms_norm(x): [T, D] to one [T, O] for each weight. */
  #normLinear(
    x: Tensor,
    tokens: number,
    norm: Tensor,
    weights: readonly Tensor[],
    biases: readonly Tensor[],
    recompute: boolean,
  ): Tensor[] {
    const eps = this.#config.normEps;
    const region = this.#region;
    if (region !== undefined) {
      const whole = region.enter(call("forge::rms_norm", x, norm, eps), tokens);
      return weights.map((weight, i) => linear(whole, weight, biases[i] ?? null));
    }
    if (recompute) return call<Tensor[]>("forge::norm_linear", x, norm, weights, biases, eps);
    const normed = call("forge::rms_norm", x, norm, eps);
    return weights.map((weight, i) => linear(normed, weight, biases[i] ?? null));
  }

  /** Rotated queries [T, H, d], rotated keys and values [T, K, d] of hidden states x: [T, D]. */
  project(
    x: Tensor,
    positions: Tensor,
    rope: Rope,
    recompute = true,
    onProduct?: LayerOptions["onProduct"],
  ): { q: Tensor; k: Tensor; v: Tensor } {
    const { headDim, normEps, numHeads, numKvHeads } = this.#config;
    const w = this.#weights;
    const tokens = positions.size(0);
    const [q, k, v] = this.#normLinear(x, tokens, w.inputNorm, w.qkv, w.qkvBias, recompute) as [
      Tensor,
      Tensor,
      Tensor,
    ];
    onProduct?.({ outputs: [q, k, v], weights: [...w.qkv, ...w.qkvBias] });
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
  finish(x: Tensor, attended: Tensor, options: LayerOptions = {}): Tensor {
    const w = this.#weights;
    const region = this.#region;
    const shifted = w.outputBias ? x.add(w.outputBias) : x;
    const ownAttended = region && linear(attended, w.output);
    const residual = ownAttended
      ? shifted.add(region.leave(ownAttended))
      : call("forge::add_linear", shifted, attended, w.output);
    // A product is what a rank computes by itself: with a region biases come after the sum over the ranks.
    options.onProduct?.(
      ownAttended
        ? { outputs: [ownAttended], weights: [w.output] }
        : { outputs: [residual], weights: [w.output, ...(w.outputBias ? [w.outputBias] : [])] },
    );
    return this.#mixture
      ? this.#mix(this.#mixture, residual, attended.size(0), options)
      : this.#feed(residual, attended.size(0), options);
  }

  /** residual + feed-forward of it: [T, D]. */
  #feed(residual: Tensor, tokens: number, { recompute = true, onProduct }: LayerOptions): Tensor {
    const w = this.#feedForward!;
    const region = this.#region;
    const [gate, up] = this.#normLinear(
      residual,
      tokens,
      this.#weights.postNorm,
      w.gateUp,
      w.gateUpBias,
      recompute,
    ) as [Tensor, Tensor];
    const base = w.downBias ? residual.add(w.downBias) : residual;
    if (region) {
      // The operator that keeps gate and up alone adds to a base; here that comes after the sum over the ranks.
      const { dtype, device } = residual;
      const none = zeros([1, 1], { dtype, device }).expand([tokens, residual.size(1)]);
      const own = call("forge::swiglu_linear", gate, up, w.down, none);
      onProduct?.({ outputs: [gate, up], weights: [...w.gateUp, ...w.gateUpBias] });
      onProduct?.({ outputs: [own], weights: [w.down] });
      return base.add(region.leave(own));
    }
    const output = recompute
      ? call("forge::swiglu_linear", gate, up, w.down, base)
      : call("forge::add_linear", base, call("forge::swiglu", gate, up), w.down);
    onProduct?.({ outputs: [gate, up], weights: [...w.gateUp, ...w.gateUpBias] });
    onProduct?.({ outputs: [output], weights: [w.down, ...(w.downBias ? [w.downBias] : [])] });
    return output;
  }

  /**
   * residual + what the experts make of it: [T, D]. With a region each rank has a part of every expert, or the experts are
   * whole and get its stretch of the sequence.
   */
  #mix(w: MixtureWeights, residual: Tensor, tokens: number, options: LayerOptions): Tensor {
    const region = this.#region;
    const own = call("forge::rms_norm", residual, this.#weights.postNorm, this.#config.normEps);
    if (region?.wholeExperts === true) {
      const run = (rows: Tensor, from: number): Tensor => {
        const real = options.real?.narrow(0, from, rows.size(0));
        return this.#toExperts(w, rows, { ...options, real });
      };
      return residual.add(region.apart(own, tokens, run));
    }
    const mixed = this.#toExperts(w, region?.enter(own, tokens) ?? own, options);
    return residual.add(region?.leave(mixed) ?? mixed);
  }

  /** Normalized rows to what their experts make of them: [R, D]. */
  #toExperts(w: MixtureWeights, normed: Tensor, { onProduct, onRouting, real }: LayerOptions): Tensor {
    const logits = linear(normed, w.router);
    const { choice, routing } = route(logits, this.#config.mixture!, real);
    onRouting?.(routing());
    onProduct?.({ outputs: [logits], weights: [w.router] });
    return runExperts(normed, choice, w, this.#seams.exchange, (made) =>
      onProduct?.({ outputs: [made], weights: [...w.gate, ...w.up, ...w.down] }),
    );
  }

  /** x: [T, D] to [T, D]. */
  forward(x: Tensor, sequence: Sequence, rope: Rope, options: LayerOptions = {}): Tensor {
    const recompute = options.recompute ?? true;
    const { q, k, v } = this.project(x, sequence.positions, rope, recompute, options.onProduct);
    options.onKeysValues?.({ k, v });
    const { lengths, boundaries, cut } = sequence;
    const window = this.#window;
    const attended =
      cut?.attention(q, k, v, window) ?? documentAttention(q, k, v, { lengths, window, boundaries });
    return this.finish(x, attended, options);
  }

  /** The same layer with weights of another dtype, for mixed precision: leaves of their own, in the same order. */
  cast(dtype: Dtype): DecoderLayer {
    const prefix = `model.layers.${this.index}.`;
    const own = [...this.#source].filter(([name]) => name.startsWith(prefix));
    return new DecoderLayer(
      this.#config,
      new Map(own.map(([name, one]) => [name, castLeaf(one, dtype)])),
      this.index,
      this.#seams,
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
  readonly #region: TensorRegion | undefined;

  constructor(
    config: Pick<ModelConfig, "normEps" | "tieEmbeddings">,
    parameters: Parameters,
    region?: TensorRegion,
  ) {
    this.#region = region;
    this.norm = required(parameters, "model.norm.weight");
    this.weight = required(parameters, config.tieEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight");
    this.#eps = config.normEps;
  }

  #cast(dtype: Dtype): Head {
    const leaves = new Map([
      ["model.norm.weight", castLeaf(this.norm, dtype)],
      ["lm_head.weight", castLeaf(this.weight, dtype)],
    ]);
    return new Head({ normEps: this.#eps, tieEmbeddings: false }, leaves, this.#region);
  }

  /** Logits of hidden states x: [n, D] to [n, V]. With a region: of whole sequences, without a gradient. */
  logits(x: Tensor): Tensor {
    const own = linear(call("forge::rms_norm", x, this.norm, this.#eps), this.weight);
    return this.#region?.joinColumns(own) ?? own;
  }

  /**
   * Sum of the token losses of x: [T, D] with labels: [T] (-100: none), times `scale`.
   * @param chunk logits held at once; 0 lets the operator choose
   */
  loss(x: Tensor, labels: Tensor, scale: number, chunk = 0): Tensor {
    const normed = call("forge::rms_norm", x, this.norm, this.#eps);
    const region = this.#region;
    if (region !== undefined) {
      const whole = region.enter(normed, labels.size(0));
      return vocabularyLoss({ region, hidden: whole, weight: this.weight, labels, scale, chunk }).loss;
    }
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
    if (this.#region !== undefined) return this.#divided(this.#region, { used, input, labels, scale, chunk });
    const loss = used.loss(input, labels, scale, chunk);
    const trained = [this.norm, this.weight].filter((one) => one.requiresGrad);
    const leaves = [used.norm, used.weight].filter((one) => one.requiresGrad);
    const [gradX, ...rest] = grad(loss, [input, ...leaves]) as [Tensor, ...Tensor[]];
    for (const [i, parameter] of trained.entries()) accumulate(parameter, rest[i]!);
    return { loss: loss.detach(), gradX };
  }

  /** The same with a rank's part of the vocabulary: the graph holds norm and gather, the loss makes its own gradients. */
  #divided(
    region: TensorRegion,
    of: { used: Head; input: Tensor; labels: Tensor; scale: number; chunk: number },
  ): { loss: Tensor; gradX: Tensor } {
    const { used, input, labels, scale, chunk } = of;
    const hidden = region.enter(call("forge::rms_norm", input, used.norm, this.#eps), labels.size(0));
    const { weight } = used;
    const found = vocabularyLoss({
      region,
      hidden: hidden.detach(),
      weight,
      labels,
      scale,
      chunk,
      gradients: { weight: weight.requiresGrad },
    });
    const leaves = used.norm.requiresGrad ? [input, used.norm] : [input];
    const [gradX, gradNorm] = grad(hidden, leaves, [found.gradHidden!]) as [Tensor, Tensor | undefined];
    if (gradNorm !== undefined) accumulate(this.norm, gradNorm);
    if (found.gradWeight !== undefined) accumulate(this.weight, found.gradWeight);
    return { loss: found.loss, gradX };
  }
}

function castLeaf(parameter: Tensor, dtype: Dtype): Tensor {
  // Not left to the scope: the copy's memory is to go with the leaf.
  using copy = noGrad(() => parameter.to(dtype));
  return copy.detach().requiresGrad_(parameter.requiresGrad);
}

/** Adds to a parameter's `.grad`, taking the first gradient as it is. */
export function accumulate(parameter: Tensor, gradient: Tensor): void {
  const found = parameter.grad;
  if (found) noGrad(() => found.add_(gradient));
  else parameter.grad = gradient.to(parameter.dtype);
}

/** int64 ids as embedding and labels take them. */
export const idType = int64;
