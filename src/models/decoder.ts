// A decoder-only language model: its parameters by Hugging Face name, and its blocks. Families are switches of
// ModelConfig, not classes.
import {
  type AdapterSpec,
  dropFrozenCast,
  Embedding,
  encodeSlice,
  Linear,
  LMHead,
  RMSNorm,
  ropeTables,
  sliceOf,
  isQuantized,
  type ParameterSpec,
  type QuantizedFormat,
  type RopeTables,
  type Sequence,
  type ShardSlice,
} from "../nn/index.ts";
import type { ExpertExchange, StageRelay, TensorRegion } from "../parallel/index.ts";
import { empty, float32, noGrad, scope, type Device, type Dtype, type Tensor } from "../torch/index.ts";
import { architectureOf, blockSpecs, parameterSpecs } from "./architecture.ts";
import { required, type DecoderLayer } from "./decoder-layer.ts";
import type { ModelConfig } from "./families/index.ts";
import { formatsOf } from "./quantized-base.ts";

export interface DecoderOptions {
  /** Of the parameters that it makes, and of the rotary tables. Default float32. */
  dtype?: Dtype;
  device?: Device | string;
  /** The parameters, by Hugging Face name, where somebody else makes them (a parallel strategy); default: it makes them. */
  parameters?: ReadonlyMap<string, Tensor>;
  /** Where the parameters are one rank's part of every matrix: how the ranks compute together. */
  region?: TensorRegion | undefined;
  /** Where the parameters are some of the experts: how tokens get to those of other ranks. */
  exchange?: ExpertExchange | undefined;
  /** Where the parameters are some stages': how those of other ranks are asked. */
  relay?: StageRelay | undefined;
  /** Of layers that have one, by their names; the parameters are among `parameters`. */
  adapters?: ReadonlyMap<string, AdapterSpec> | undefined;
  /** How `parameters` are quantized (formatsOf); default: as the model's files have them. */
  formats?: ReadonlyMap<string, QuantizedFormat> | undefined;
  /** Numbers of the blocks (as blockSpecs lists them) that this process has, as a pipeline stage; default: all. */
  blocks?: readonly number[] | undefined;
}

/**
 * Random weights as Transformers initializes them: normal with deviation 0.02, norms 1, biases 0. For a tensor that holds a
 * slice of a parameter the whole of it is drawn, and what a stage lacks is drawn, too, so that all divisions of a model begin
 * alike. Those of adapters begin as PEFT's.
 * @param specs of the whole model, in its order, or those that are to be initialized
 */
export function initializeParameters(
  parameters: ReadonlyMap<string, Tensor>,
  specs: ReadonlyMap<string, ParameterSpec>,
  { std = 0.02, slices = new Map() }: { std?: number; slices?: ReadonlyMap<string, ShardSlice> } = {},
): void {
  const [first] = parameters.values();
  if (first === undefined) return;
  const fill = (tensor: Tensor, { init, shape }: ParameterSpec): Tensor => {
    if (init === "normal") return tensor.normal_(0, std);
    const bound = 1 / Math.sqrt(shape[1]!);
    return tensor.uniform_(-bound, bound);
  };
  noGrad(() => {
    for (const [name, spec] of specs) {
      const { shape, init, storage } = spec;
      const parameter = parameters.get(name);
      const slice = slices.get(name);
      if (isQuantized(storage)) {
        using _ = scope();
        const whole = fill(empty(shape), spec);
        parameter?.copy_(encodeSlice(storage, (start, count) => whole.narrow(0, start, count), shape, slice));
        continue;
      }
      if (init === "ones") parameter?.fill_(1);
      else if (init === "zeros") parameter?.zero_();
      else if (parameter !== undefined && slice === undefined) fill(parameter, spec);
      else {
        using _ = scope();
        const { dtype, device } = parameter ?? first;
        const whole = fill(empty(shape, { dtype, device }), spec);
        parameter?.copy_(sliceOf(whole, slice));
      }
    }
  });
}

function headOf(
  { normEps, normOffset, tieEmbeddings, logitsScale, logitsSoftCap }: ModelConfig,
  parameters: ReadonlyMap<string, Tensor>,
  region: TensorRegion | undefined,
): LMHead {
  const weight = required(parameters, tieEmbeddings ? "model.embed_tokens.weight" : "lm_head.weight");
  return new LMHead(
    new RMSNorm(required(parameters, "model.norm.weight"), normEps, normOffset),
    new Linear(weight),
    region,
    { scale: logitsScale, softCap: logitsSoftCap },
  );
}

export class Decoder {
  readonly config: ModelConfig;
  /** By Hugging Face name; a tied lm_head has no entry of its own. */
  readonly parameters: Map<string, Tensor>;
  readonly layers: readonly DecoderLayer[];
  readonly #embedding: Embedding | undefined;
  readonly #head: LMHead | undefined;
  /** Of the parameters. */
  readonly dtype: Dtype;
  /** Attention heads that this process computes: fewer than the configuration's under tensor parallelism. */
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly region: TensorRegion | undefined;
  readonly exchange: ExpertExchange | undefined;
  readonly relay: StageRelay | undefined;
  readonly #tableDtype: Dtype;
  readonly #device: Device | string;
  #ropes: readonly RopeTables[] | undefined;
  #ropePositions = 0;

  /** The parameters are memory without values: load a checkpoint into them, or `initialize`. */
  constructor(config: ModelConfig, options: DecoderOptions = {}) {
    this.config = config;
    const dtype = options.dtype ?? float32;
    this.#tableDtype = dtype;
    this.#device = options.device ?? "cpu";
    const device = this.#device;
    this.parameters = new Map(
      options.parameters ??
        [...parameterSpecs(config)].map(([name, { shape, storage, trainable }]) => [
          name,
          storage === undefined
            ? empty(shape, { dtype, device }).requiresGrad_(trainable)
            : empty(storage.storedShape(shape), { dtype: storage.dtype, device }),
        ]),
    );
    const { region, exchange, relay, adapters } = options;
    const formats = options.formats ?? formatsOf(blockSpecs(config));
    this.region = region;
    this.exchange = exchange;
    this.relay = relay;
    const { size } = region ?? { size: 1 };
    this.numHeads = config.numHeads / size;
    this.numKvHeads = config.numKvHeads / size;
    const own = { ...config, numHeads: this.numHeads, numKvHeads: this.numKvHeads };
    const { blocks } = options;
    const has = (block: number): boolean => blocks?.includes(block) ?? true;
    this.#embedding = has(0)
      ? new Embedding(required(this.parameters, "model.embed_tokens.weight"), region, config.embeddingScale)
      : undefined;
    this.layers = Array.from({ length: config.numLayers }, (_, i) => i)
      .filter((i) => has(i + 1))
      .map((i) =>
        architectureOf(config).layer(own, this.parameters, i, { region, exchange, adapters, formats }),
      );
    this.#head = has(config.numLayers + 1) ? headOf(config, this.parameters, region) : undefined;
    this.dtype = [...this.parameters.values()][0]!.dtype;
  }

  /** @throws Error on a pipeline stage that has none; so does `head` */
  get embedding(): Embedding {
    if (this.#embedding === undefined) throw new Error("this pipeline stage has no embedding");
    return this.#embedding;
  }
  get head(): LMHead {
    if (this.#head === undefined) throw new Error("this pipeline stage has no head");
    return this.#head;
  }

  /** Random weights: see initializeParameters. */
  initialize(std = 0.02): void {
    initializeParameters(this.parameters, parameterSpecs(this.config), { std });
  }

  get device(): Device | string {
    return this.#device;
  }

  /** Rotary tables, of each of ModelConfig.ropes, for at least `positions` positions, which `prepare` made. */
  rope(positions: number): readonly RopeTables[] {
    if (!this.#ropes || positions > this.#ropePositions) {
      throw new Error(
        `rotary tables hold ${this.#ropePositions} positions, ${positions} are needed: call prepare() first`,
      );
    }
    return this.#ropes;
  }

  /** Makes rotary tables for `positions` positions. Like the model, they end with the scope they are made in. */
  prepare(positions: number): void {
    if (positions <= this.#ropePositions) return;
    this.#disposeTables();
    this.#ropes = this.tables(positions);
    this.#ropePositions = positions;
  }

  /** Rotary tables for at least `positions` positions: those of `prepare`, or new ones in the current scope. */
  tables(positions: number): readonly RopeTables[] {
    if (this.#ropes && positions <= this.#ropePositions) return this.#ropes;
    using s = scope();
    return this.config.ropes.map((config) => {
      const { cos, sin, long, queryScale } = ropeTables(config, positions, this.#tableDtype);
      const keep = (table: Tensor): Tensor => s.keep(table.to(this.#device));
      return { cos: keep(cos), sin: keep(sin), long, queryScale: queryScale && keep(queryScale) };
    });
  }

  #disposeTables(): void {
    for (const { cos, sin, queryScale } of this.#ropes ?? [])
      for (const table of [cos, sin, queryScale]) table?.dispose();
  }

  /** Hidden states after the last layer, without a graph unless gradients are enabled: [T] to [T, D]. */
  hidden(
    tokens: Tensor,
    sequence: Sequence,
    ropes: readonly RopeTables[] = this.rope(
      sequence.lengths.reduce((most, length) => Math.max(most, length), 1),
    ),
  ): Tensor {
    let x = this.embedding.forward(tokens);
    for (const layer of this.layers) {
      x = layer.forward(x, sequence, ropes);
    }
    return x;
  }

  /** Frees all parameters and tables. */
  dispose(): void {
    for (const parameter of this.parameters.values()) {
      dropFrozenCast(parameter);
      parameter.dispose();
    }
    this.#disposeTables();
  }
}
