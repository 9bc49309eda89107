export { dtypeBytes, elementCount, isSafetensorsDtype, type SafetensorsDtype } from "./dtypes.ts";
export { readHeaderOf, type Header, type TensorInfo } from "./header.ts";
export { openSafetensors, type SafetensorsFile, type TensorSource } from "./reader.ts";
export { indexFileName, openModelWeights, singleFileName } from "./model-folder.ts";
export {
  planShards,
  tensorBytes,
  writeModelWeights,
  writeSafetensors,
  type TensorToWrite,
  type WriteOptions,
} from "./writer.ts";
