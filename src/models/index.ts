// Decoder-only language models with the parameters, names and numbers of Hugging Face's.
export { adapterNames } from "./adapter-names.ts";
export { adaptersOf, isOfAdapter, tunedBlocks, type AdapterSettings, type Tuning } from "./adapters.ts";
export {
  architectureOf,
  blockSpecs,
  parameterSpecs,
  savedShapes,
  type Architecture,
} from "./architecture.ts";
export { blockCosts, countParameters, flopsPerToken } from "./costs.ts";
export { DecoderLayer, type LayerOptions, type LayerRegions } from "./decoder-layer.ts";
export { Decoder, initializeParameters, type DecoderOptions } from "./decoder.ts";
export { families, type Family, type ModelConfig, type MoeConfig } from "./families/index.ts";
export { checkFlavor, flavorJson, modelOfFlavor } from "./flavors.ts";
export { initializeAdapters } from "./initialize-adapters.ts";
export { peftConfigOf, settingsOfPeft } from "./peft-config.ts";
export { formatsOf, quantizedBlocks, type Quantization } from "./quantized-base.ts";
export { kindOf, moduleOf } from "./selection.ts";
export { generate, type GenerateOptions } from "./generate.ts";
export { ownPrefixesOf } from "./tower.ts";
export { notHonoured, parseModelConfig, readModelConfig } from "./read-config.ts";
