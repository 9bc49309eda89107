// The tokens of a batch as layers see them: one row, [T], document after document, without padding.
import type { Tensor } from "../torch/index.ts";
import type { SequenceShard } from "./regions.ts";

/** What all layers need to know of a batch. */
export interface Sequence {
  /** Position of each token in its document: [T], int64. */
  positions: Tensor;
  /** Tokens of each document, in order; their sum is T, or that of all ranks' with context parallelism. */
  lengths: readonly number[];
  /** Tokens of each whole document, where only its last ones are computed (generation). Default: `lengths`. */
  documents?: readonly number[] | undefined;
  /** See AttentionOptions. */
  boundaries?: Tensor | undefined;
  /** Where the T tokens are this rank's chunks of documents that are sharded (context parallelism). */
  shard?: SequenceShard | undefined;
}
