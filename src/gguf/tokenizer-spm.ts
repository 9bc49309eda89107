// Builds tokenizer.json of SentencePiece BPE models (Llama 2, Mistral) from GGUF metadata. GGUF has scores instead of merges, which
// are derived from the scores like in Transformers' `generate_merges`.
import { UserError } from "../util/index.ts";
import type { GgufFile } from "./reader.ts";
import { addedTokens, postProcessor, tokenType, type Vocabulary } from "./vocabulary.ts";

export function sentencePieceTokenizer(file: GgufFile, vocabulary: Vocabulary): Record<string, unknown> {
  const scores = file.numbers("tokenizer.ggml.scores");
  if (scores.length < vocabulary.tokens.length) {
    throw new UserError(
      `${file.path}: expected a score for each of ${vocabulary.tokens.length} tokens, found ${scores.length}`,
    );
  }
  const vocab = new Map(vocabulary.tokens.map((token, id) => [token, id]));
  // Merges never produce special and byte tokens.
  const mergeable = new Map(
    [...vocab].filter(([, id]) => {
      const type = vocabulary.types[id];
      return type === tokenType.normal || type === tokenType.userDefined;
    }),
  );
  const unknown = vocabulary.unk ?? vocabulary.types.indexOf(tokenType.unknown);
  const decoders: Array<Record<string, unknown>> = [
    { type: "Replace", pattern: { String: "▁" }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
  ];
  if (vocabulary.addSpacePrefix) decoders.push({ type: "Strip", content: " ", start: 1, stop: 0 });
  const replaceSpaces = { type: "Replace", pattern: { String: " " }, content: "▁" };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: addedTokens(vocabulary),
    normalizer: {
      type: "Sequence",
      normalizers: vocabulary.addSpacePrefix
        ? [{ type: "Prepend", prepend: "▁" }, replaceSpaces]
        : [replaceSpaces],
    },
    pre_tokenizer: null,
    post_processor: postProcessor(vocabulary),
    decoder: { type: "Sequence", decoders },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: vocabulary.tokens[unknown] ?? null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: true,
      byte_fallback: vocabulary.types.includes(tokenType.byte),
      ignore_merges: false,
      vocab: Object.fromEntries(vocab),
      merges: mergesFromScores(mergeable, scores),
    },
  };
}

/**
 * All ways to merge two tokens into a third, sorted by score, then by the length of the left part, then of the right one (in code
 * points), all descending. The sort is stable; ties within a token are ordered by the ids of its parts.
 */
export function mergesFromScores(
  vocab: ReadonlyMap<string, number>,
  scores: readonly number[],
): Array<[string, string]> {
  interface Merge {
    left: string;
    right: string;
    score: number;
    leftLength: number;
    rightLength: number;
  }
  const merges: Merge[] = [];
  for (const [token, id] of vocab) {
    const points = Array.from(token); // code points, as Python counts
    const local: Merge[] = [];
    for (let cut = 1; cut < points.length; cut++) {
      const left = points.slice(0, cut).join("");
      const right = points.slice(cut).join("");
      if (vocab.has(left) && vocab.has(right)) {
        local.push({
          left,
          right,
          score: scores[id]!,
          leftLength: cut,
          rightLength: points.length - cut,
        });
      }
    }
    local.sort(
      (a, b) => vocab.get(a.left)! - vocab.get(b.left)! || vocab.get(a.right)! - vocab.get(b.right)!,
    );
    merges.push(...local);
  }
  merges.sort((a, b) => b.score - a.score || b.leftLength - a.leftLength || b.rightLength - a.rightLength);
  return merges.map(({ left, right }) => [left, right]);
}
