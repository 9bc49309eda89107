// torchforge/hub: the Hugging Face hub and its cache on disk. Resolves names to local folders and files, without reading them.
export { hubEnvironment, type HubEnvironment } from "./environment.ts";
export { cachedRepos, cachedSnapshot, missingModelFiles, type Repo, type RepoType } from "./cache.ts";
export { HubUnreachableError } from "./network.ts";
export type { RepoFile } from "./api.ts";
export {
  download,
  type DownloadResult,
  type DownloadOptions,
  type DownloadProgress,
  type HubOptions,
} from "./download.ts";
export {
  checkModel,
  parseModelReference,
  resolveModel,
  type HubReference,
  type ResolveOptions,
} from "./resolve-model.ts";
export {
  resolveDataset,
  streamDataset,
  type DatasetOptions,
  type ResolvedDataset,
  type StreamedDataset,
} from "./resolve-dataset.ts";
export { RemoteFile } from "./remote-file.ts";
export {
  datasetFormats,
  filesOfSplit,
  formatOf,
  namesOfSplit,
  splitWords,
  type DatasetFormat,
  type SplitFiles,
} from "./dataset-files.ts";
