// A decoder layer, made of parts of src/nn that hold its parameters under their Hugging Face names. Who calls it, and
// whether its graph is kept, is the training step's business.
import {
  Attention,
  type AdapterSpec,
  type AttentionVariant,
  type ClampedSwiglu,
  FeedForward,
  LatentAttention,
  Linear,
  LowRank,
  MoE,
  Residual,
  RMSNorm,
  StackedExperts,
  type ExpertExchange,
  type FeedForwardOptions,
  type ProductOptions,
  type Projections,
  type QuantizedFormat,
  type RopeTables,
  type Sequence,
  type TensorRegion,
} from "../nn/index.ts";
import type { Dtype, Tensor } from "../torch/index.ts";
import { adapterNames } from "./adapter-names.ts";
import type { LatentConfig, ModelConfig } from "./families/index.ts";

export type Parameters = ReadonlyMap<string, Tensor>;

/** What processes do together inside a layer, and what is adapted in it. */
export interface LayerRegions {
  /** Where the parameters are one rank's part of every matrix. */
  readonly region?: TensorRegion | undefined;
  /** Where this process has some of the experts. */
  readonly exchange?: ExpertExchange | undefined;
  /** By the layer that each adapts. */
  readonly adapters?: ReadonlyMap<string, AdapterSpec> | undefined;
  /** How matrices are quantized, by the parameter. */
  readonly formats?: ReadonlyMap<string, QuantizedFormat> | undefined;
}

/** Of one forward pass. */
export interface LayerOptions extends Pick<FeedForwardOptions, "onRouting" | "real" | "masks"> {
  /**
   * Keep the outputs of matrix products and attention only, and make norms and activations again (selective activation
   * checkpointing, `op`). Default true.
   */
  readonly recompute?: boolean | undefined;
  /** Sees keys and values, [T, K, d] each: how generation fills its cache. */
  readonly onKeysValues?: (kv: Pick<Projections, "k" | "v">) => void;
}

/** @throws Error where it is missing */
export function required(parameters: Parameters, name: string): Tensor {
  const found = parameters.get(name);
  if (!found) throw new Error(`no parameter ${name}`);
  return found;
}

/**
 * Grouped-query attention, then a gated feed-forward or experts, each added to its input. With a region x
 * and what comes out are this rank's shard of the sequence, [T / ranks, D].
 */
export class DecoderLayer {
  readonly index: number;
  /** All, in a fixed order. */
  readonly parameters: readonly Tensor[];
  readonly #attention: Attention | LatentAttention;
  readonly #feedForward: FeedForward | MoE;

  constructor(index: number, attention: Attention | LatentAttention, feedForward: FeedForward | MoE) {
    this.index = index;
    this.#attention = attention;
    this.#feedForward = feedForward;
    this.parameters = [...attention.parameters, ...feedForward.parameters];
  }

  /** @param config with the heads that the parameters have: of one rank, with a region */
  static of(
    config: ModelConfig,
    parameters: Parameters,
    index: number,
    regions: LayerRegions = {},
  ): DecoderLayer {
    const get = (name: string) => required(parameters, `model.layers.${index}.${name}`);
    const adapterOf = (name: string): LowRank | undefined => {
      const spec = regions.adapters?.get(`model.layers.${index}.${name}`);
      if (spec === undefined) return undefined;
      const { a, b, magnitude } = adapterNames(spec.module);
      const parts = { a: required(parameters, a), b: required(parameters, b) };
      return new LowRank({ ...parts, magnitude: parameters.get(magnitude) }, spec);
    };
    const linear = (name: string, hasBias: boolean) =>
      new Linear(
        get(`${name}.weight`),
        hasBias ? get(`${name}.bias`) : undefined,
        adapterOf(name),
        regions.formats?.get(`model.layers.${index}.${name}.weight`),
      );
    const rmsNorm = (name: string) => new RMSNorm(get(`${name}.weight`), config.normEps, config.normOffset);
    const maybe = (name: string | undefined) => (name === undefined ? undefined : rmsNorm(name));
    const { norms, activation } = config;
    const residual = (name: string | undefined) => new Residual(maybe(name), config.residualScale);
    const usual = (): Attention =>
      new Attention(
        {
          norm: maybe(norms.attentionIn),
          q: linear("self_attn.q_proj", config.qkvBias),
          k: linear("self_attn.k_proj", config.qkvBias),
          v: linear("self_attn.v_proj", config.qkvBias),
          qNorm: config.qkNorm ? rmsNorm("self_attn.q_norm") : undefined,
          kNorm: config.qkNorm ? rmsNorm("self_attn.k_norm") : undefined,
          sinks: config.hasSinks === true ? get("self_attn.sinks") : undefined,
          output: linear("self_attn.o_proj", config.outputBias),
          residual: residual(norms.attentionOut),
        },
        {
          numHeads: config.numHeads,
          numKvHeads: config.numKvHeads,
          headDim: config.headDim,
          window: config.slidingLayers[index] ? config.slidingWindow : undefined,
          scale: config.attentionScale,
          softCap: config.attentionSoftCap,
          rope: config.ropeOfLayer[index] ?? undefined,
          ropeOfPairs: config.ropeOfPairs,
          normsWhole: config.qkNormWhole,
        },
        regions.region,
      );
    /** Norms of latent vectors have an epsilon of their own. */
    const latentNorm = (name: string) => new RMSNorm(get(`${name}.weight`), 1e-6);
    const latentOf = ({ queryRank, ropeDim, valueDim, bias }: LatentConfig): LatentAttention =>
      new LatentAttention(
        {
          norm: maybe(norms.attentionIn),
          ...(queryRank === undefined
            ? { query: linear("self_attn.q_proj", false) }
            : {
                query: linear("self_attn.q_a_proj", bias),
                queryNorm: latentNorm("self_attn.q_a_layernorm"),
                queryUp: linear("self_attn.q_b_proj", false),
              }),
          keyValue: linear("self_attn.kv_a_proj_with_mqa", bias),
          keyValueNorm: latentNorm("self_attn.kv_a_layernorm"),
          keyValueUp: linear("self_attn.kv_b_proj", false),
          output: linear("self_attn.o_proj", config.outputBias),
          residual: residual(norms.attentionOut),
        },
        {
          numHeads: config.numHeads,
          headDim: config.headDim,
          ropeDim,
          valueDim,
          scale: config.attentionScale,
          ropeOfPairs: config.ropeOfPairs,
        },
        regions.region,
      );
    const attention = config.latent === undefined ? usual() : latentOf(config.latent);
    const feedForwardOf = (of: (name: string) => Linear) => ({
      gate: of("gate"),
      up: of("up"),
      down: of("down"),
      activation,
      residual: new Residual(),
    });
    const norm = maybe(norms.feedForwardIn);
    const added = residual(norms.feedForwardOut);
    if (config.moe?.layers[index] !== true) {
      const own = feedForwardOf((name) => linear(`mlp.${name}_proj`, config.mlpBias));
      const parts = { ...own, norm, residual: added };
      return new DecoderLayer(index, attention, new FeedForward(parts, regions.region));
    }
    const { names, numExperts, shared, stacked } = config.moe;
    const stackedOf = (activation: ClampedSwiglu): StackedExperts => {
      const part = (name: string) => get(`${names.experts}.${name}`);
      const parts = {
        gateUp: part("gate_up_proj"),
        gateUpBias: part("gate_up_proj_bias"),
        down: part("down_proj"),
        downBias: part("down_proj_bias"),
      };
      return new StackedExperts(parts, activation);
    };
    const ofShared = (name: string): Linear => linear(`${names.shared}.${name}_proj`, false);
    // Those that this process has.
    const matrices = (name: string): Tensor[] =>
      Array.from(
        { length: numExperts },
        (_, i) => `model.layers.${index}.${names.experts}.${i}.${name}.weight`,
      )
        .map((one) => parameters.get(one))
        .filter((one) => one !== undefined);
    const experts = new MoE(
      {
        norm,
        residual: added,
        router: linear(names.router, stacked !== undefined),
        stacked: stacked && stackedOf(stacked),
        gate: matrices(names.gate),
        up: matrices(names.up),
        down: matrices(names.down),
        correction: names.correction === undefined ? undefined : get(names.correction),
        shared: shared && new FeedForward(feedForwardOf(ofShared), regions.region),
        sharedGate: names.sharedGate === undefined ? undefined : linear(names.sharedGate, false),
      },
      config.moe,
      regions,
    );
    return new DecoderLayer(index, attention, experts);
  }

  /** The same layer with weights of another type, for mixed precision: leaves of their own, in the same order. */
  cast(dtype: Dtype): DecoderLayer {
    return new DecoderLayer(this.index, this.#attention.cast(dtype), this.#feedForward.cast(dtype));
  }

  /** Its attention's: the window of tokens that each one sees, and how scores are changed. */
  get variant(): AttentionVariant {
    return this.#attention.variant;
  }

  /** Rotated queries [T, H, d], rotated keys and values [T, K, d] of hidden states x: [T, D]. */
  project(
    x: Tensor,
    sequence: Sequence,
    ropes: readonly RopeTables[],
    options: Pick<ProductOptions, "recompute" | "masks"> = {},
  ): Projections {
    return this.#attention.project(x, sequence, ropes, options);
  }

  /** The rest of the layer: x: [T, D] is its input, attended: [T, H * d] what attention gave. */
  finish(x: Tensor, attended: Tensor, options: LayerOptions = {}): Tensor {
    const { recompute, onRouting, real, masks } = options;
    const residual = this.#attention.addTo(x, attended, { masks });
    const tokens = attended.size(0);
    return this.#feedForward.addTo(residual, { tokens, recompute, onRouting, real, masks });
  }

  /** x: [T, D] to [T, D]. */
  forward(x: Tensor, sequence: Sequence, ropes: readonly RopeTables[], options: LayerOptions = {}): Tensor {
    const projections = this.project(x, sequence, ropes, options);
    options.onKeysValues?.(projections);
    return this.finish(x, this.#attention.attend(projections, sequence), options);
  }
}
