export { dtypeBytes, elementCount, isSafetensorsDtype, type SafetensorsDtype } from "./dtypes.ts";
export { readHeaderOf, type Header, type TensorInfo } from "./header.ts";
export { openSafetensors, type SafetensorsFile, type TensorSource } from "./reader.ts";
export { indexFileName, openModelWeights, singleFileName } from "./model-folder.ts";
export { openShardFiles, shardFileName, shardMetadata, type Piece, type ShardSource } from "./shard-files.ts";
export {
  layoutOf,
  planModelFiles,
  planShards,
  tensorBytes,
  writeIndex,
  writeModelWeights,
  writeSafetensors,
  type FileLayout,
  type TensorToWrite,
  type WriteOptions,
} from "./writer.ts";
