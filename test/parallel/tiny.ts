// A model and batches small enough to compare strategies number by number in float64. Sizes are chosen not to divide by the
// ranks, so that padding is in play: 97 rows of vocabulary, 50 of the feed-forward, biases, norms of heads.
import { parseModelConfig, type ModelConfig } from "../../src/models/index.ts";
import type { PackedBatch } from "../../src/train/index.ts";

export const vocabulary = 97;

/** Of models whose vocabulary can be divided by two. */
export const evenSizes = {
  vocab_size: vocabulary + 1,
  hidden_size: 32,
  intermediate_size: 50,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
};

export function tinyConfig(tied: boolean): ModelConfig {
  const config = parseModelConfig(
    {
      ...evenSizes,
      model_type: "qwen2",
      vocab_size: vocabulary,
      tie_word_embeddings: tied,
    },
    "test",
  );
  return config;
}

/** Documents of these lengths, packed into sequences of `seqLen`; the rest of each is padding. */
function makeBatch(sequences: readonly (readonly number[])[], seqLen: number, seed: number): PackedBatch {
  const size = sequences.length * seqLen;
  const batch = {
    seqLen,
    tokens: new Int32Array(size),
    labels: new Int32Array(size).fill(-100),
    positions: new Int32Array(size),
    documentLengths: [] as number[][],
    rows: [] as number[][],
    trainedTokens: 0,
  };
  let document = seed * 13;
  for (const [b, lengths] of sequences.entries()) {
    let at = b * seqLen;
    for (const length of lengths) {
      for (let t = 0; t < length; t++, at++) {
        batch.tokens[at] = (document * 31 + t * 7) % vocabulary;
        batch.positions[at] = t;
        // Unlike numbers of trained tokens in every batch: a mean of means would show.
        if (t < length - 1 && (t + document) % 3 !== 0) {
          batch.labels[at] = (document * 31 + (t + 1) * 7) % vocabulary;
          batch.trainedTokens++;
        }
      }
      document++;
    }
    const rest = (b + 1) * seqLen - at;
    batch.documentLengths.push(rest > 0 ? [...lengths, rest] : [...lengths]);
    batch.rows.push(lengths.map((_, i) => i));
  }
  return batch;
}

/** The micro-batches of one step over all ranks: packed documents, and rows of their own. */
export function batchesOfStep(step: number, count: number, packed: boolean): PackedBatch[] {
  return Array.from({ length: count }, (_, i) => {
    const seed = step * 100 + i;
    const lengths = [9, 20, 5, 17].map((length) => length + ((seed * 7 + length) % 11));
    return packed
      ? makeBatch([lengths.slice(0, 2), lengths.slice(2)], 64, seed)
      : makeBatch([[lengths[i % 4]!]], 32, seed);
  });
}
