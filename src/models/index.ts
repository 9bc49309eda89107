// Decoder-only language models with the parameters, names and numbers of Hugging Face's.
export { blockCosts } from "./costs.ts";
export { blockSpecs, parameterSpecs, savedShapes } from "./blocks-of.ts";
export { DecoderLayer, type LayerOptions, type LayerRegions } from "./decoder-layer.ts";
export { Decoder, initializeParameters, type DecoderOptions } from "./decoder.ts";
export { flavorJson, modelOfFlavor } from "./flavor-config.ts";
export { checkFlavor, flavors } from "./flavors.ts";
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
} from "./model-config.ts";
