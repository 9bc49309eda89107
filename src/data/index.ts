// Data: files to rows, rows to token ids and what of them is trained. Free of libtorch, so that commands may use it;
// the trainer turns typed arrays into tensors.
export {
  ChatTemplate,
  chatTemplateOf,
  type ChatTemplateOptions,
  type RenderOptions,
} from "./chat-template.ts";
export { encodeExample, type EncodeOptions } from "./encode.ts";
export { findDataFiles } from "./files.ts";
export {
  alpacaPrompt,
  detectFormat,
  formatNames,
  toExample,
  type ColumnMap,
  type FormatName,
} from "./formats.ts";
export { maskConversation, type MaskedText, type Span } from "./masking.ts";
export { readRows, type ReadRow } from "./rows.ts";
export { loadTokenizer, Tokenizer, type TokenizerFiles } from "./tokenizer.ts";
export {
  BadRow,
  type Example,
  type Message,
  type SourceRow,
  type TokenizedRow,
  type TrainOn,
} from "./types.ts";
