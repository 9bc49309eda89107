// Data: files to rows, rows to token ids with a loss mask, packs and batches. It never loads libtorch, so commands may use it;
// the trainer makes tensors of a batch's typed arrays.
export { mapColumns, zerosLike, type BatchColumns, type Column, type RowColumns } from "./columns.ts";
export {
  ignoreIndex,
  makeBatch,
  padBatch,
  paddingToken,
  paddingValues,
  rowsOf,
  sequenceSizes,
  splitSequences,
  type Batch,
  type Document,
  type PaddedColumns,
} from "./pack/batch.ts";
export {
  ChatTemplate,
  chatTemplateOf,
  type ChatTemplateOptions,
  type RenderOptions,
} from "./text/chat-template.ts";
export { openDataset, type Dataset, type DatasetSource, type ResolveDataset } from "./source/dataset.ts";
export { encodeExample, type EncodeOptions } from "./text/encode.ts";
export { findDataFiles, ofSplit } from "./source/files.ts";
export { firstBatches, type FirstBatches } from "./load/first-batches.ts";
export { fitRow, type FitOptions, type FittedRow } from "./pack/fit.ts";
export {
  alpacaPrompt,
  detectFormat,
  formatNames,
  formatNote,
  toExample,
  type ColumnMap,
  type FormatName,
  type Wording,
  wordingOf,
} from "./text/formats.ts";
export {
  checkData,
  evaluationData,
  fromHub,
  trainingData,
  trainingDatasets,
  type DataRank,
} from "./load/from-config.ts";
export { HeldOutData, type HeldOutSet } from "./load/held-out.ts";
export { Ledger, type Fate, type LedgerState, type ReasonCount } from "./load/ledger.ts";
export type { DataLoader, LoaderOptions, LoaderState } from "./load/loader.ts";
export { maskConversation, type MaskedText, type Span } from "./text/masking.ts";
export { modelTokenizer } from "./text/model-tokenizer.ts";
export {
  openData,
  openLoader,
  type DataOptions,
  type OpenedData,
  type OpenLoaderOptions,
} from "./load/open.ts";
export { PackBuffer } from "./pack/pack.ts";
export {
  previewDocuments,
  previewFragment,
  previewHtml,
  previewText,
  summary,
  type PreviewDocument,
} from "./report/preview.ts";
export { dataStats, type DataStats, type Quantiles } from "./report/stats.ts";
export { Random, shuffledOrder, type RandomState } from "./load/random.ts";
export { reshardLoaderStates } from "./load/reshard.ts";
export type { ReadRow } from "./source/bad-rows.ts";
export { readRows } from "./source/rows.ts";
export { loadTokenizer, Tokenizer, type TokenizerFiles } from "./text/tokenizer.ts";
export { type MessageTransform, type Transformed } from "./text/transform.ts";
export { BadRow, type Example, type Message, type SourceRow, type TrainOn } from "./types.ts";
export { renderWords } from "./text/template-forms.ts";
