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
