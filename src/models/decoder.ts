// A decoder-only language model: its parameters by Hugging Face name, and its blocks. Families are switches of
// ModelConfig, not classes.
import { empty, float32, noGrad, type Device, type Dtype, type Tensor } from "../torch/index.ts";
import { DecoderLayer, Embedding, Head, type KeysValues, type Rope, type Sequence } from "./blocks.ts";
import type { ModelConfig } from "./model-config.ts";
import { ropeTables } from "./rope.ts";

export interface DecoderOptions {
  dtype?: Dtype;
  device?: Device | string;
}

/** Shape of every parameter by its Hugging Face name, in the order of the model. */
export function parameterShapes(config: ModelConfig): Map<string, readonly number[]> {
  const { hiddenSize: d, intermediateSize: i, headDim, numHeads, numKvHeads, vocabSize: v } = config;
  const q = numHeads * headDim;
  const kv = numKvHeads * headDim;
  const shapes = new Map<string, readonly number[]>([["model.embed_tokens.weight", [v, d]]]);
  for (let layer = 0; layer < config.numLayers; layer++) {
    const add = (name: string, shape: readonly number[]) =>
      shapes.set(`model.layers.${layer}.${name}`, shape);
    add("input_layernorm.weight", [d]);
    for (const [name, rows] of [
      ["q_proj", q],
      ["k_proj", kv],
      ["v_proj", kv],
    ] as const) {
      add(`self_attn.${name}.weight`, [rows, d]);
      if (config.qkvBias) add(`self_attn.${name}.bias`, [rows]);
    }
    if (config.qkNorm) for (const name of ["q_norm", "k_norm"]) add(`self_attn.${name}.weight`, [headDim]);
    add("self_attn.o_proj.weight", [d, q]);
    if (config.outputBias) add("self_attn.o_proj.bias", [d]);
    add("post_attention_layernorm.weight", [d]);
    for (const [name, rows, columns] of [
      ["gate_proj", i, d],
      ["up_proj", i, d],
      ["down_proj", d, i],
    ] as const) {
      add(`mlp.${name}.weight`, [rows, columns]);
      if (config.mlpBias) add(`mlp.${name}.bias`, [rows]);
    }
  }
  shapes.set("model.norm.weight", [d]);
  if (!config.tieEmbeddings) shapes.set("lm_head.weight", [v, d]);
  return shapes;
}

export class Decoder {
  readonly config: ModelConfig;
  /** By Hugging Face name; a tied lm_head has no entry of its own. */
  readonly parameters: Map<string, Tensor>;
  readonly embedding: Embedding;
  readonly layers: readonly DecoderLayer[];
  readonly head: Head;
  readonly dtype: Dtype;
  readonly #device: Device | string;
  #rope: Rope | undefined;
  #ropePositions = 0;

  /** The parameters are memory without values: load a checkpoint into them, or `initialize`. */
  constructor(config: ModelConfig, options: DecoderOptions = {}) {
    this.config = config;
    this.dtype = options.dtype ?? float32;
    this.#device = options.device ?? "cpu";
    this.parameters = new Map();
    for (const [name, shape] of parameterShapes(config)) {
      this.parameters.set(name, empty(shape, { dtype: this.dtype, device: this.#device }).requiresGrad_());
    }
    this.embedding = new Embedding(this.parameters);
    this.layers = Array.from(
      { length: config.numLayers },
      (_, i) => new DecoderLayer(config, this.parameters, i),
    );
    this.head = new Head(config, this.parameters);
  }

  /** Random weights as Transformers initializes them: normal with deviation 0.02, norms 1, biases 0. */
  initialize(std = 0.02): void {
    noGrad(() => {
      for (const [name, parameter] of this.parameters) {
        if (name.includes("norm")) parameter.fill_(1);
        else if (name.endsWith(".bias")) parameter.zero_();
        else parameter.normal_(0, std);
      }
    });
  }

  get device(): Device | string {
    return this.#device;
  }

  /** Rotary tables for at least `positions` positions, which `prepare` made. */
  rope(positions: number): Rope {
    if (!this.#rope || positions > this.#ropePositions) {
      throw new Error(
        `rotary tables hold ${this.#ropePositions} positions, ${positions} are needed: call prepare() first`,
      );
    }
    return this.#rope;
  }

  /** Makes rotary tables for `positions` positions. Like the model, they end with the scope they are made in. */
  prepare(positions: number): void {
    if (positions <= this.#ropePositions) return;
    this.#rope?.cos.dispose();
    this.#rope?.sin.dispose();
    this.#rope = this.tables(positions);
    this.#ropePositions = positions;
  }

  /** Rotary tables for at least `positions` positions: those of `prepare`, or new ones in the current scope. */
  tables(positions: number): Rope {
    if (this.#rope && positions <= this.#ropePositions) return this.#rope;
    const { cos, sin } = ropeTables(this.config, positions, this.dtype);
    return { cos: cos.to(this.#device), sin: sin.to(this.#device) };
  }

  /** Hidden states after the last layer, without a graph unless gradients are enabled: [T] to [T, D]. */
  hidden(
    tokens: Tensor,
    sequence: Sequence,
    onKeysValues?: (layer: number, kv: KeysValues) => void,
    rope: Rope = this.rope(sequence.lengths.reduce((most, length) => Math.max(most, length), 1)),
  ): Tensor {
    let x = this.embedding.forward(tokens);
    for (const layer of this.layers) {
      x = layer.forward(
        x,
        sequence,
        rope,
        onKeysValues ? { onKeysValues: (kv) => onKeysValues(layer.index, kv) } : {},
      );
    }
    return x;
  }

  /** Frees all parameters and tables. */
  dispose(): void {
    for (const parameter of this.parameters.values()) parameter.dispose();
    this.#rope?.cos.dispose();
    this.#rope?.sin.dispose();
  }
}
