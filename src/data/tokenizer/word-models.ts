// WordPiece and WordLevel: models that look words up.
import type { Fields } from "./fields.ts";
import { readVocabulary, unknownId, type TokenModel } from "./vocabulary.ts";

/** Longest pieces first, from the left; a word with a part that isn't known is unknown as a whole. */
export function wordPiece(fields: Fields): TokenModel {
  const { ids, tokens } = readVocabulary(fields);
  const unkId = unknownId(fields, ids);
  const prefix = fields.text("continuing_subword_prefix", "##");
  const longest = fields.integer("max_input_chars_per_word", 100);
  const encode = (word: string): number[] => {
    const points = Array.from(word);
    if (points.length > longest) return [unkId];
    const found: number[] = [];
    for (let start = 0; start < word.length;) {
      let end = word.length;
      let id: number | undefined;
      while (end > start) {
        id = ids.get(start > 0 ? prefix + word.slice(start, end) : word.slice(start, end));
        if (id !== undefined) break;
        end -= isLowSurrogate(word, end - 1) ? 2 : 1;
      }
      if (id === undefined) return [unkId];
      found.push(id);
      start = end;
    }
    return found;
  };
  return { encode, idOf: (token) => ids.get(token), tokens, size: ids.size, unkId };
}

const isLowSurrogate = (text: string, at: number): boolean => (text.charCodeAt(at) & 0xfc00) === 0xdc00;

/** Each word is a token. */
export function wordLevel(fields: Fields): TokenModel {
  const { ids, tokens } = readVocabulary(fields);
  const unkId = unknownId(fields, ids);
  return {
    encode: (word) => [ids.get(word) ?? unkId],
    idOf: (token) => ids.get(token),
    tokens,
    size: ids.size,
    unkId,
  };
}
