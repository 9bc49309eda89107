// What a family's parameters are, and which layers compute with them. Nearly all families are the pre-norm decoder, shaped by
// the switches of ModelConfig; one whose layers differ has a file of its own that declares its blocks and builds its layers,
// and a line here.
import { parametersOf, type BlockSpec, type ParameterSpec } from "../nn/index.ts";
import { decoderBlocks } from "./decoder-blocks.ts";
import { DecoderLayer, type LayerRegions, type Parameters } from "./decoder-layer.ts";
import type { ModelConfig } from "./families/index.ts";
import { quantizedBlocks } from "./quantized-base.ts";

export interface Architecture {
  /** The parameters, block by block, in the order in which the training step runs the blocks: embedding, layers, head. */
  blocks(config: ModelConfig): BlockSpec[];
  /** @param config with the heads that the parameters have: of one rank, with a region */
  layer(config: ModelConfig, parameters: Parameters, index: number, regions: LayerRegions): DecoderLayer;
}

const preNorm: Architecture = {
  blocks: decoderBlocks,
  layer: (config, parameters, index, regions) => DecoderLayer.of(config, parameters, index, regions),
};

/** Of families whose layers are others, by model_type. */
const others: Readonly<Record<string, Architecture>> = {};

export const architectureOf = ({ family }: Pick<ModelConfig, "family">): Architecture =>
  others[family] ?? preNorm;

/** The blocks of a model; matrices that its files have quantized are stored so, and frozen. */
export function blockSpecs(config: ModelConfig): BlockSpec[] {
  const blocks = architectureOf(config).blocks(config);
  const { quantization } = config;
  if (quantization === undefined) return blocks;
  return quantizedBlocks(blocks, quantization, "model.hf_assets_path");
}

/** Every parameter by its Hugging Face name, in the order of the model; tied ones are not among them. */
export function parameterSpecs(config: ModelConfig): Map<string, ParameterSpec> {
  return parametersOf(blockSpecs(config));
}

/** Shapes of what a checkpoint of the whole model holds, by name, in order. */
export function savedShapes(blocks: readonly BlockSpec[]): Map<string, readonly number[]> {
  const saved = [...parametersOf(blocks).values()].filter((spec) => spec.saved);
  return new Map(saved.map(({ name, shape }) => [name, shape]));
}
