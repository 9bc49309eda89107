// A model and batches small enough to compare strategies number by number in float64. Sizes are chosen not to divide by the
// ranks, so that padding is in play: 97 rows of vocabulary, 50 of the feed-forward, biases, norms of heads.
import { parseModelConfig, type ModelConfig } from "../../src/models/index.ts";
import { makeBatch, type Batch, type Document } from "../../src/data/index.ts";

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

/** A dense model whose embedding is tied, and one with experts, both of even sizes. */
export const evenDense = parseModelConfig(
  { ...evenSizes, model_type: "qwen2", tie_word_embeddings: true },
  "test",
);
export const evenMoe = parseModelConfig(
  {
    ...evenSizes,
    model_type: "qwen3_moe",
    head_dim: 16,
    num_experts: 4,
    num_experts_per_tok: 2,
    moe_intermediate_size: 20,
  },
  "test",
);

/** Documents of these lengths, packed into sequences of `seqLen`. */
function batchOf(sequences: readonly (readonly number[])[], seqLen: number, seed: number): Batch {
  let document = seed * 13;
  const documentOf = (length: number, row: number): Document => {
    const at = document++;
    const tokens = Int32Array.from({ length }, (_, t) => (at * 31 + t * 7) % vocabulary);
    // Unlike numbers of trained tokens in every batch: a mean of means would show.
    const lossMask = Uint8Array.from({ length }, (_, t) => Number(t > 0 && (t - 1 + at) % 3 !== 0));
    return { row, columns: { tokens, lossMask } };
  };
  return makeBatch(
    sequences.map((lengths) => lengths.map(documentOf)),
    seqLen,
  );
}

/** The micro-batches of one step over all ranks: packed documents, and rows of their own. */
export function batchesOfStep(step: number, count: number, packed: boolean): Batch[] {
  return Array.from({ length: count }, (_, i) => {
    const seed = step * 100 + i;
    const lengths = [9, 20, 5, 17].map((length) => length + ((seed * 7 + length) % 11));
    return packed
      ? batchOf([lengths.slice(0, 2), lengths.slice(2)], 64, seed)
      : batchOf([[lengths[i % 4]!]], 32, seed);
  });
}
