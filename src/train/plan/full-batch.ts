// The longest batch that a configuration allows, of made-up tokens: every position real and trained. For measuring.
import type { RunSpec } from "../../config/index.ts";
import type { Batch } from "../../data/index.ts";

export function fullBatch({ localBatchSize: batchSize, seqLen }: RunSpec, vocabSize: number): Batch {
  const size = batchSize * seqLen;
  const tokens = Int32Array.from({ length: size }, (_, i) => (i * 31 + 7) % vocabSize);
  return {
    batchSize,
    seqLen,
    tokens,
    labels: tokens,
    positions: Int32Array.from({ length: size }, (_, i) => i % seqLen),
    documentLengths: Array.from({ length: batchSize }, () => [seqLen]),
    rows: Array.from({ length: batchSize }, () => [0]),
    trainedTokens: size,
    paddingTokens: 0,
  };
}
