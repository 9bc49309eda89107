// The models of tokenizer.json by their type.
import { bpe } from "./bpe.ts";
import { byType, type Fields } from "./fields.ts";
import { unigram } from "./unigram.ts";
import type { TokenModel } from "./vocabulary.ts";
import { wordLevel, wordPiece } from "./word-models.ts";

export function readModel(fields: Fields): TokenModel {
  const { value } = fields;
  if (value["type"] !== undefined) return byType(fields, known)(fields);
  // Files of before `type` was written.
  if (value["merges"] !== undefined) return bpe(fields);
  if (Array.isArray(value["vocab"])) return unigram(fields);
  return value["max_input_chars_per_word"] === undefined ? wordLevel(fields) : wordPiece(fields);
}

const known: Readonly<Record<string, (fields: Fields) => TokenModel>> = {
  BPE: bpe,
  Unigram: unigram,
  WordPiece: wordPiece,
  WordLevel: wordLevel,
};
