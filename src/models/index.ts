// Decoder-only language models with the parameters, names and numbers of Hugging Face's.
export { documentAttention, documentBoundaries, type AttentionOptions } from "./attention.ts";
export {
  accumulate,
  DecoderLayer,
  Embedding,
  Head,
  idType,
  type KeysValues,
  type LayerOptions,
  type Product,
  type Rope,
  type Sequence,
} from "./blocks.ts";
export { blockCosts } from "./costs.ts";
export {
  blockSpecs,
  Decoder,
  initializeParameters,
  parameterShapes,
  type DecoderOptions,
} from "./decoder.ts";
export { flavorJson, modelOfFlavor } from "./flavor-config.ts";
export { checkFlavor, flavors } from "./flavors.ts";
export { balancingLoss, type Routing } from "./mixture.ts";
export { generate, type GenerateOptions } from "./generate.ts";
export {
  countParameters,
  families,
  feedForwardParameters,
  flopsPerToken,
  parseModelConfig,
  readModelConfig,
  type Family,
  type MixtureConfig,
  type ModelConfig,
  type RopeScaling,
} from "./model-config.ts";
export { inverseFrequencies, ropeTables } from "./rope.ts";
