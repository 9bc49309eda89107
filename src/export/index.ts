// What a trained model goes out as, beside the folder that Transformers and vLLM load.
export { exportGguf, type GgufExport, type GgufExportOptions, type GgufExports } from "./gguf/export-gguf.ts";
export { fileTypes as ggufFileTypes, type GgufFileType } from "./gguf/types.ts";
export { heldOutLoss } from "./held-out-loss.ts";
export { writeModelfile } from "./ollama.ts";
export { checkExportOfRun, exportRun } from "./export-run.ts";
