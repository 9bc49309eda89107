// A batch as the model sees it, in plain typed arrays: B sequences of S positions. The trainer makes tensors of it.
// Invariants: labels[t] = tokens[t + 1] inside a document where that token is trained, else -100; positions restart in
// every document; padding is token 0, label -100, position 0, and a document of its own at the end of its sequence.

export const ignoreIndex = -100;
export const paddingToken = 0;

/** One document: its row's number in the data set, its tokens and which of them are targets. */
export interface Document {
  readonly row: number;
  readonly ids: Int32Array;
  readonly trained: Uint8Array;
}

/** All arrays are row-major, [B, S]. */
export interface Batch {
  readonly batchSize: number;
  readonly seqLen: number;
  readonly tokens: Int32Array;
  readonly labels: Int32Array;
  readonly positions: Int32Array;
  /** Of each sequence, the lengths of its documents; they sum to S. The last is the padding where there is some. */
  readonly documentLengths: readonly (readonly number[])[];
  /** Of each sequence, the data set's row of each document; the padding has none. */
  readonly rows: readonly (readonly number[])[];
  /** Positions with a label: what a loss is divided by. */
  readonly trainedTokens: number;
  /** Positions that hold padding. */
  readonly paddingTokens: number;
}

/** Lays sequences of documents into a batch; every sequence is padded to `seqLen`. */
export function makeBatch(sequences: readonly (readonly Document[])[], seqLen: number): Batch {
  const size = sequences.length * seqLen;
  const tokens = new Int32Array(size).fill(paddingToken);
  const labels = new Int32Array(size).fill(ignoreIndex);
  const positions = new Int32Array(size);
  const documentLengths: number[][] = [];
  let trainedTokens = 0;
  let paddingTokens = 0;
  for (const [b, documents] of sequences.entries()) {
    const lengths: number[] = [];
    let used = 0;
    for (const { ids, trained } of documents) {
      const at = b * seqLen + used;
      tokens.set(ids, at);
      for (let t = 0; t < ids.length; t++) positions[at + t] = t;
      for (let t = 0; t + 1 < ids.length; t++) {
        if (!trained[t + 1]) continue;
        labels[at + t] = ids[t + 1]!;
        trainedTokens++;
      }
      lengths.push(ids.length);
      used += ids.length;
    }
    if (used > seqLen) throw new Error(`documents of ${used} tokens in a sequence of ${seqLen}`);
    if (used < seqLen) lengths.push(seqLen - used);
    paddingTokens += seqLen - used;
    documentLengths.push(lengths);
  }
  const rows = sequences.map((documents) => documents.map(({ row }) => row));
  return {
    batchSize: sequences.length,
    seqLen,
    tokens,
    labels,
    positions,
    documentLengths,
    rows,
    trainedTokens,
    paddingTokens,
  };
}

/** Of each position, the number of its document within its sequence: [B, S], as torchtune's packs carry it. */
export function documentIds(batch: Pick<Batch, "batchSize" | "seqLen" | "documentLengths">): Int32Array {
  const ids = new Int32Array(batch.batchSize * batch.seqLen);
  for (const [b, lengths] of batch.documentLengths.entries()) {
    let at = b * batch.seqLen;
    for (const [document, length] of lengths.entries()) {
      ids.fill(document, at, at + length);
      at += length;
    }
  }
  return ids;
}
