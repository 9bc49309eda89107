// The vocabulary of a GGUF file, and the parts of tokenizer.json that depend only on it: added tokens, and the post-processor that
// adds BOS and EOS.
import { UserError } from "../util/index.ts";
import type { GgufFile } from "./reader.ts";

/** GGUF's token types. */
export const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface Vocabulary {
  readonly path: string;
  readonly tokens: readonly string[];
  readonly types: readonly number[];
  readonly bos: number | undefined;
  readonly eos: number | undefined;
  readonly unk: number | undefined;
  readonly pad: number | undefined;
  readonly addBos: boolean;
  readonly addEos: boolean;
  readonly addSpacePrefix: boolean;
}

/** @throws UserError if the lists have different lengths */
export function readVocabulary(file: GgufFile, model: "gpt2" | "llama"): Vocabulary {
  const all = file.texts("tokenizer.ggml.tokens");
  const types = file.metadata.has("tokenizer.ggml.token_type")
    ? file.numbers("tokenizer.ggml.token_type")
    : all.map(() => tokenType.normal);
  if (types.length !== all.length) {
    throw new UserError(
      `${file.path}: expected one token_type for each of ${all.length} tokens, found ${types.length}`,
    );
  }
  // Converters pad the vocabulary to the embedding's rows with unused entries named [PAD1], [PAD2] …
  let length = all.length;
  while (length > 0 && types[length - 1] === tokenType.unused && /^\[PAD\d+\]$/.test(all[length - 1]!))
    length--;
  const id = (role: string): number | undefined => {
    const key = `tokenizer.ggml.${role}_token_id`;
    return file.metadata.has(key) ? file.number(key) : undefined;
  };
  const flag = (name: string, fallback: boolean): boolean => {
    const value = file.metadata.get(`tokenizer.ggml.${name}`);
    return typeof value === "boolean" ? value : fallback;
  };
  const llama3 = isLlama3Pre(preTokenizerName(file));
  return {
    path: file.path,
    tokens: all.slice(0, length),
    types,
    bos: id("bos"),
    eos: id("eos"),
    unk: id("unknown"),
    pad: id("padding"),
    addBos: flag("add_bos_token", model === "llama" || llama3), // llama.cpp's defaults where the key is absent
    addEos: flag("add_eos_token", false),
    addSpacePrefix: flag("add_space_prefix", model === "llama"),
  };
}

/** The name of the pre-tokenizer; "default" if the file has none. */
export function preTokenizerName(file: GgufFile): string {
  return file.metadata.has("tokenizer.ggml.pre") ? file.text("tokenizer.ggml.pre") : "default";
}

export function isLlama3Pre(name: string): boolean {
  return name === "llama-bpe" || name === "llama3" || name === "llama-v3";
}

interface AddedToken {
  id: number;
  content: string;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
  special: boolean;
}

/** Tokens that are matched in the text before it is split. */
export function addedTokens(vocabulary: Vocabulary): AddedToken[] {
  return vocabulary.tokens.flatMap((content, id) => {
    const type = vocabulary.types[id];
    const special = type === tokenType.control || type === tokenType.unknown;
    if (!special && type !== tokenType.userDefined) return [];
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }];
  });
}

/** The post-processor that adds BOS and EOS, if the model uses them. */
export function postProcessor(vocabulary: Vocabulary): Record<string, unknown> | null {
  const token = (id: number | undefined): string | undefined =>
    id === undefined ? undefined : vocabulary.tokens[id];
  const bos = vocabulary.addBos ? token(vocabulary.bos) : undefined;
  const eos = vocabulary.addEos ? token(vocabulary.eos) : undefined;
  if (bos === undefined && eos === undefined) return null;
  const part = (sequence: "A" | "B", typeId: number): unknown[] => [
    ...(bos === undefined ? [] : [{ SpecialToken: { id: bos, type_id: typeId } }]),
    { Sequence: { id: sequence, type_id: typeId } },
    ...(eos === undefined ? [] : [{ SpecialToken: { id: eos, type_id: typeId } }]),
  ];
  const special: Record<string, unknown> = {};
  if (bos !== undefined) special[bos] = { id: bos, ids: [vocabulary.bos], tokens: [bos] };
  if (eos !== undefined) special[eos] = { id: eos, ids: [vocabulary.eos], tokens: [eos] };
  return {
    type: "TemplateProcessing",
    single: part("A", 0),
    pair: [...part("A", 0), ...part("B", 1)],
    special_tokens: special,
  };
}
