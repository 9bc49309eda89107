export { openGguf, type GgufFile, type GgufTensor, type GgufValue } from "./reader.ts";
export { ggmlTypes, type GgmlTypeName } from "./types.ts";
export { dequantize } from "./dequantize.ts";
export { importGguf, type ImportDtype, type ImportOptions, type ImportReport } from "./convert.ts";
export { obtainSmolLM2, smolLM2Name, type ObtainedModel, type ObtainOptions } from "./smollm2.ts";
