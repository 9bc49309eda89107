// What each block of a model costs to compute, counted from its shapes: how a pipeline's stages are balanced.
import { feedForwardParameters, type ModelConfig } from "./model-config.ts";

/**
 * FLOPs of a forward pass on one token by block, as blockSpecs lists them: embedding, layers, head. 2 for each weight of a
 * product (of experts, those that a token goes to), causal attention over `seqLen`; the embedding copies a row. Backward takes twice as much of each.
 */
export function blockCosts(config: ModelConfig, seqLen: number): number[] {
  const { hiddenSize: d, headDim, numHeads, numKvHeads, numLayers, mixture } = config;
  const q = numHeads * headDim;
  const attention = d * (2 * q + 2 * numKvHeads * headDim);
  const layer = (index: number): number => {
    const window = config.slidingLayers[index] ? (config.slidingWindow ?? seqLen) : seqLen;
    const products = attention + feedForwardParameters(config, index, mixture?.expertsPerToken ?? 0);
    return 2 * products + 2 * Math.min(seqLen, 2 * window) * q;
  };
  return [2 * d, ...Array.from({ length: numLayers }, (_, index) => layer(index)), 2 * config.vocabSize * d];
}
