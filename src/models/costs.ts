// What a model costs to keep and to compute, counted from the declaration of its parameters.
import { numel, type BlockSpec, type ParameterSpec } from "../nn/index.ts";
import { blockSpecs, parameterSpecs } from "./architecture.ts";
import type { ModelConfig } from "./families/index.ts";

/** Numbers in these parameters, of experts those of `experts` in each layer. */
function count(specs: Iterable<ParameterSpec>, experts: number): number {
  let [dense, ofExperts, perLayer] = [0, 0, 1];
  for (const { shape, expert, stackedExperts } of specs) {
    if (stackedExperts !== undefined) dense += (numel(shape) / stackedExperts) * experts;
    else if (expert === undefined) dense += numel(shape);
    else {
      ofExperts += numel(shape);
      perLayer = expert.count;
    }
  }
  return dense + (ofExperts * experts) / perLayer;
}

/**
 * Numbers in all parameters: the embedding counts once where it is tied.
 * @param experts counted in each layer that has some: all, or those that a token goes to
 */
export function countParameters(config: ModelConfig, experts = config.moe?.numExperts ?? 0): number {
  return count(parameterSpecs(config).values(), experts);
}

/** Numbers in the matrices of a block that one token meets. */
function productsOf(block: BlockSpec, config: ModelConfig): number {
  const matrices = [...block.parameters.values()].filter(({ shape }) => shape.length > 1);
  return count(matrices, config.moe?.expertsPerToken ?? 0);
}

/** FLOPs of training on one token: 6 for each parameter in a product, and causal attention over `seqLen`. */
export function flopsPerToken(config: ModelConfig, seqLen: number): number {
  const products =
    countParameters(config, config.moe?.expertsPerToken) -
    (config.tieEmbeddings ? 0 : config.vocabSize * config.hiddenSize);
  return 6 * products + 6 * config.numLayers * seqLen * config.numHeads * config.headDim;
}

/**
 * FLOPs of a forward pass on one token by block, as blockSpecs lists them: embedding, layers, head. 2 for each weight of a
 * product (of experts, those that a token goes to), causal attention over `seqLen`; the embedding copies a row. Backward
 * takes twice as much of each.
 */
export function blockCosts(config: ModelConfig, seqLen: number): number[] {
  const { hiddenSize: d, headDim, numHeads } = config;
  const layers = blockSpecs(config).slice(1, -1);
  const layer = (block: BlockSpec, index: number): number => {
    const window = config.slidingLayers[index] ? (config.slidingWindow ?? seqLen) : seqLen;
    return 2 * productsOf(block, config) + 2 * Math.min(seqLen, 2 * window) * numHeads * headDim;
  };
  return [2 * d, ...layers.map(layer), 2 * config.vocabSize * d];
}
