import "./require-node.ts";

export { camelKeys, type CamelKeys } from "./camel-keys.ts";
export type { Environment } from "./environment.ts";
export {
  checkedReader,
  chunkBytes,
  chunkFaultText,
  ChunkSums,
  chunkSumsOf,
  isAsSummed,
  joinChunkSums,
  sealHolds,
  sealJson,
  type FolderSums,
  type ReadAt,
} from "./chunk-sums.ts";
export { checkpointPath, isCheckpoint, isResumable } from "./checkpoint-path.ts";
export { asError, messageOf, UserError } from "./errors.ts";
export { expandHome } from "./expand-home.ts";
export { useCompileCache } from "./compile-cache.ts";
export { outlivesTerminal } from "./hangup.ts";
export { configText, parseKeepingNumbers } from "./json-numbers.ts";
export { adoptLauncher, tasksOfBatchScript } from "./launcher.ts";
export { removeLeftovers } from "./leftovers.ts";
export { makeFolder } from "./make-folder.ts";
export { otherModelFormat, readJsonObject, refuseLfsPointer, quantizationOf } from "./model-files.ts";
export { cacheDir } from "./paths.ts";
export { isProcessAlive } from "./process.ts";
export { otherRuntime, requireNode, requireProgram } from "./program-file.ts";
export { loadTypeScript, type TypeScript } from "./typescript.ts";
export { acceptTypeScript } from "./user-typescript.ts";
export { makeWorkFolder } from "./work-folder.ts";
