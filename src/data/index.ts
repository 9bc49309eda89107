// Data: files to rows, rows to token ids and what of them is trained, packs and batches. Free of libtorch, so that
// commands may use it; the trainer turns a batch's typed arrays into tensors.
export { documentIds, ignoreIndex, makeBatch, paddingToken, type Batch, type Document } from "./batch.ts";
export {
  ChatTemplate,
  chatTemplateOf,
  type ChatTemplateOptions,
  type RenderOptions,
} from "./chat-template.ts";
export { openDataset, type Dataset, type DatasetSource, type ResolveDataset } from "./dataset.ts";
export { encodeExample, type EncodeOptions } from "./encode.ts";
export { findDataFiles, ofSplit } from "./files.ts";
export { firstBatches, type FirstBatches } from "./first-batches.ts";
export { fitRow, type FitOptions, type FittedRow } from "./fit.ts";
export {
  alpacaPrompt,
  detectFormat,
  formatNames,
  toExample,
  type ColumnMap,
  type FormatName,
} from "./formats.ts";
export { checkData, evaluationData, fromHub, trainingData, type DataRank } from "./from-config.ts";
export { Ledger, type Fate, type LedgerState, type ReasonCount } from "./ledger.ts";
export { DataLoader, type LoaderOptions, type LoaderState } from "./loader.ts";
export { maskConversation, type MaskedText, type Span } from "./masking.ts";
export { modelTokenizer } from "./model-tokenizer.ts";
export { openData, openLoader, type DataOptions, type OpenedData, type OpenLoaderOptions } from "./open.ts";
export { PackBuffer } from "./pack.ts";
export {
  previewDocuments,
  previewFragment,
  previewHtml,
  previewText,
  summary,
  type PreviewDocument,
} from "./preview.ts";
export { quickstartData } from "./quickstart-files.ts";
export { dataStats, type DataStats, type Quantiles } from "./stats.ts";
export { Random, shuffledOrder, type RandomState } from "./random.ts";
export { reshardLoaderStates } from "./reshard.ts";
export { readRows, type ReadRow } from "./rows.ts";
export { loadTokenizer, Tokenizer, type TokenizerFiles } from "./tokenizer.ts";
export { type MessageTransform, type Transformed } from "./transform.ts";
export {
  BadRow,
  type Example,
  type Message,
  type SourceRow,
  type TokenizedRow,
  type TrainOn,
} from "./types.ts";
