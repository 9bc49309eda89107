// The longest batch that a configuration allows, of made-up tokens: every position real and trained. For measuring.
import type { RunSpec } from "../../config/index.ts";
import type { Batch } from "../../data/index.ts";

export function fullBatch({ localBatchSize: batchSize, seqLen }: RunSpec, vocabSize: number): Batch {
  const size = batchSize * seqLen;
  const tokens = Int32Array.from({ length: size }, (_, i) => (i * 31 + 7) % vocabSize);
  const positions = Int32Array.from({ length: size }, (_, i) => i % seqLen);
  return {
    columns: { tokens, labels: tokens, positions },
    sequences: Array.from({ length: batchSize }, () => [{ row: 0, length: seqLen }]),
    seqLen,
    trainedTokens: size,
  };
}
