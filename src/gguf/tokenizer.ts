// Rebuilds a Hugging Face folder's tokenizer files from GGUF metadata: tokenizer.json, tokenizer_config.json (with the chat template)
// and special_tokens_map.json. Supports byte-level BPE ("gpt2") and SentencePiece BPE ("llama"). GGUF stores only the name of the
// pre-tokenizer, so unknown names are refused.
import { UserError } from "../util/index.ts";
import type { GgufFile } from "./reader.ts";
import { byteLevelTokenizer } from "./tokenizer-bpe.ts";
import { sentencePieceTokenizer } from "./tokenizer-spm.ts";
import { addedTokens, readVocabulary, type Vocabulary } from "./vocabulary.ts";

export interface TokenizerFiles {
  readonly vocabulary: Vocabulary;
  readonly tokenizer: Record<string, unknown>;
  readonly tokenizerConfig: Record<string, unknown>;
  readonly specialTokensMap: Record<string, unknown>;
}

/** @throws UserError for an unknown tokenizer model or pre-tokenizer */
export function tokenizerFiles(file: GgufFile, contextLength: number): TokenizerFiles {
  const model = file.text("tokenizer.ggml.model");
  if (model !== "gpt2" && model !== "llama") {
    throw new UserError(`${file.path}: expected tokenizer.ggml.model gpt2 or llama, found ${model}`);
  }
  const vocabulary = readVocabulary(file, model);
  const tokenizer =
    model === "gpt2" ? byteLevelTokenizer(file, vocabulary) : sentencePieceTokenizer(file, vocabulary);
  const specialTokens: Record<string, string> = {};
  for (const role of ["bos", "eos", "unk", "pad"] as const) {
    const id = vocabulary[role];
    if (id !== undefined && vocabulary.tokens[id] !== undefined)
      specialTokens[`${role}_token`] = vocabulary.tokens[id];
  }
  const added = addedTokens(vocabulary);
  const template = file.metadata.get("tokenizer.chat_template");
  return {
    vocabulary,
    tokenizer,
    tokenizerConfig: {
      add_bos_token: vocabulary.addBos,
      add_eos_token: vocabulary.addEos,
      add_prefix_space: model === "llama" && vocabulary.addSpacePrefix,
      added_tokens_decoder: Object.fromEntries(added.map(({ id, ...rest }) => [String(id), rest])),
      ...specialTokens,
      ...(typeof template === "string" ? { chat_template: template } : {}),
      clean_up_tokenization_spaces: false,
      model_max_length: contextLength,
      tokenizer_class: "PreTrainedTokenizerFast",
    },
    specialTokensMap: specialTokens,
  };
}
