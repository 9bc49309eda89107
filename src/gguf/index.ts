export { openGguf, type GgufFile, type GgufTensor, type GgufValue } from "./reader.ts";
export { ggmlTypes, type GgmlTypeName } from "./types.ts";
export { dequantize } from "./dequantize.ts";
export {
  importerVersion,
  importGguf,
  recordFileName,
  type ImportDtype,
  type ImportOptions,
  type ImportReport,
} from "./convert.ts";
export {
  architectureOf,
  huggingFaceName,
  permutedHeads,
  type Architecture as GgufArchitecture,
} from "./architecture.ts";
export { decodedPieces } from "./convert.ts";
export { llama3Factors } from "./rope-scaling.ts";
export { ggufNameOf, layerOfGgufName } from "./tensor-names.ts";
export { preTokenizerOfForm } from "./tokenizer-bpe.ts";
export { tokenType } from "./vocabulary.ts";
export {
  ggufTensorBytes,
  writeGguf,
  type GgufEntry,
  type GgufMetadata,
  type GgufTensorToWrite,
} from "./writer.ts";
