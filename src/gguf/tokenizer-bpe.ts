// Builds tokenizer.json of byte-level BPE models (SmolLM2, Llama 3, Qwen, GPT-2) from GGUF metadata.
import { UserError } from "../util/index.ts";
import type { GgufFile } from "./reader.ts";
import { addedTokens, postProcessor, isLlama3Pre, preTokenizerName, type Vocabulary } from "./vocabulary.ts";

const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true } as const;

/** Splits by a pattern, then maps bytes to characters without splitting again. */
function splitBy(pattern: string): Record<string, unknown> {
  return {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
      { ...byteLevel, use_regex: false },
    ],
  };
}

/** The pattern of tiktoken's cl100k family; models differ in the number of digits per piece. */
function cl100kPattern(digits: string): string {
  return String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|${digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
}

interface PreTokenization {
  readonly normalizer: Record<string, unknown> | null;
  readonly preTokenizer: Record<string, unknown>;
  /** A piece that is a token is kept whole, even if no merges produce it. */
  readonly ignoreMerges: boolean;
}

function preTokenizationOf(path: string, name: string): PreTokenization {
  if (isLlama3Pre(name)) {
    return {
      normalizer: null,
      preTokenizer: splitBy(cl100kPattern(String.raw`\p{N}{1,3}`)),
      ignoreMerges: true,
    };
  }
  switch (name) {
    case "smollm":
      return {
        normalizer: null,
        preTokenizer: {
          type: "Sequence",
          pretokenizers: [
            { type: "Digits", individual_digits: true },
            { ...byteLevel, use_regex: true },
          ],
        },
        ignoreMerges: false,
      };
    case "qwen2":
      return {
        normalizer: { type: "NFC" },
        preTokenizer: splitBy(cl100kPattern(String.raw`\p{N}`)),
        ignoreMerges: false,
      };
    case "gpt-2":
    case "default":
      return { normalizer: null, preTokenizer: { ...byteLevel, use_regex: true }, ignoreMerges: false };
    default:
      throw new UserError(
        `${path}: expected tokenizer.ggml.pre to be smollm, llama-bpe, qwen2, gpt-2 or default, found ${name}; how it splits text is not known`,
      );
  }
}

/** As text, without what has a part in offsets alone, and whatever the order of keys. */
function formOf(value: unknown): string {
  return JSON.stringify(value ?? null, (_, inner: unknown) =>
    typeof inner !== "object" || inner === null || Array.isArray(inner)
      ? inner
      : Object.fromEntries(
          Object.entries(inner)
            .filter(([key]) => key !== "trim_offsets")
            .sort(([a], [b]) => (a < b ? -1 : 1)),
        ),
  );
}

/** The other way: GGUF's name of what a tokenizer.json has in these places; undefined for another. */
export function preTokenizerOfForm(tokenizer: Readonly<Record<string, unknown>>): string | undefined {
  const sameForm = (a: unknown, b: unknown): boolean => formOf(a) === formOf(b);
  return ["llama-bpe", "qwen2", "smollm", "gpt-2"].find((name) => {
    const { preTokenizer, normalizer } = preTokenizationOf("", name);
    return (
      sameForm(preTokenizer, tokenizer["pre_tokenizer"]) && sameForm(normalizer, tokenizer["normalizer"])
    );
  });
}

export function byteLevelTokenizer(file: GgufFile, vocabulary: Vocabulary): Record<string, unknown> {
  const { normalizer, preTokenizer, ignoreMerges } = preTokenizationOf(file.path, preTokenizerName(file));
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens(vocabulary),
    normalizer,
    pre_tokenizer: preTokenizer,
    post_processor: postProcessor(vocabulary),
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: ignoreMerges,
      vocab: Object.fromEntries(vocabulary.tokens.map((token, id) => [token, id])),
      merges: file.texts("tokenizer.ggml.merges"),
    },
  };
}
