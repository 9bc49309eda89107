// A batch as a loader gives it: per-token columns of all its documents in one row, [T], and which documents they are. There is
// no padding between them, since it would cost as much as tokens do; `padBatch` puts it where somebody wants [B, S].
// Invariants: labels[t] = tokens[t + 1] inside a document where that token is trained, else -100; positions restart in each.
import {
  mapColumns,
  sliceColumns,
  zerosLike,
  type BatchColumns,
  type Column,
  type RowColumns,
} from "../columns.ts";

export const ignoreIndex = -100;
export const paddingToken = 0;

/** A row's tokens on their way into a batch. */
export interface Document {
  /** Its number in the data set. */
  readonly row: number;
  readonly columns: RowColumns;
}

export interface Batch {
  /** [T] each. */
  readonly columns: BatchColumns;
  /** The documents of each sequence: their rows in the data set and their tokens, whose sum over all is T. */
  readonly sequences: readonly (readonly { readonly row: number; readonly length: number }[])[];
  /** Positions of a sequence, B of which make [B, S]: none has more tokens. */
  readonly seqLen: number;
  /** Tokens with a label: what the loss is divided by. */
  readonly trainedTokens: number;
}

/** Puts documents into a batch. Columns beside tokens and loss mask go along by their names, aligned as the labels are. */
export function makeBatch(sequences: readonly (readonly Document[])[], seqLen: number): Batch {
  const total = sequences.reduce((sum, documents) => sum + sizeOf(documents), 0);
  const tokens = new Int32Array(total);
  const labels = new Int32Array(total).fill(ignoreIndex);
  const positions = new Int32Array(total);
  const others: Record<string, Column> = {};
  let trainedTokens = 0;
  let at = 0;
  for (const documents of sequences) {
    if (sizeOf(documents) > seqLen)
      throw new Error(`documents of ${sizeOf(documents)} tokens in a sequence of ${seqLen}`);
    for (const { columns } of documents) {
      const { tokens: ids, lossMask, ...further } = columns;
      tokens.set(ids, at);
      for (let t = 0; t < ids.length; t++) positions[at + t] = t;
      for (let t = 0; t + 1 < ids.length; t++) {
        if (!lossMask[t + 1]) continue;
        labels[at + t] = ids[t + 1]!;
        trainedTokens++;
      }
      for (const [name, values] of Object.entries<Column>(further))
        (others[name] ??= zerosLike(values, total)).set(values.subarray(1), at);
      at += ids.length;
    }
  }
  return {
    columns: { tokens, labels, positions, ...others },
    sequences: sequences.map((documents) =>
      documents.map(({ row, columns }) => ({ row, length: columns.tokens.length })),
    ),
    seqLen,
    trainedTokens,
  };
}

const sizeOf = (documents: readonly Document[]): number =>
  documents.reduce((sum, { columns }) => sum + columns.tokens.length, 0);

/** The rows of the data set that are in a batch. */
export const rowsOf = (batch: Batch): number[] => batch.sequences.flat().map(({ row }) => row);

/** Tokens of each sequence. */
export const sequenceSizes = (batch: Batch): number[] =>
  batch.sequences.map((documents) => documents.reduce((sum, { length }) => sum + length, 0));

/** Positions that hold no token where sequences are padded to [B, S]. */
export const paddingOf = (batch: Batch): number =>
  batch.sequences.length * batch.seqLen - batch.columns.tokens.length;

/** Each sequence as a batch of its own. */
export function splitSequences(batch: Batch): Batch[] {
  let at = 0;
  return sequenceSizes(batch).map((size, b) => {
    const columns = sliceColumns(batch.columns, at, (at += size));
    return {
      columns,
      sequences: [batch.sequences[b]!],
      seqLen: batch.seqLen,
      trainedTokens: columns.labels.reduce((sum, label) => sum + (label === ignoreIndex ? 0 : 1), 0),
    };
  });
}

/** What padding holds, by column; 0 in all others. */
export const paddingValues: Readonly<Partial<Record<string, number>>> = {
  tokens: paddingToken,
  labels: ignoreIndex,
};

/** Columns of [B, S], row-major: what a batch's documents are in sequences that are padded at their ends. */
export interface PaddedColumns extends BatchColumns {
  /** The number of the document within its sequence, as torchtune's packs carry it; the padding is the last one. */
  readonly documentIds: Int32Array;
}

/** The batch as sequences of `seqLen` positions. */
export function padBatch(batch: Batch, padding = paddingToken): PaddedColumns {
  const { sequences, seqLen } = batch;
  const sizes = sequenceSizes(batch);
  const padded = mapColumns(batch.columns, (values, name) => {
    const found = zerosLike(values, sequences.length * seqLen);
    found.fill(name === "tokens" ? padding : (paddingValues[name] ?? 0));
    let at = 0;
    for (const [b, size] of sizes.entries()) found.set(values.subarray(at, (at += size)), b * seqLen);
    return found;
  }) as unknown as BatchColumns;
  const documentIds = new Int32Array(sequences.length * seqLen);
  for (const [b, documents] of sequences.entries()) {
    let at = b * seqLen;
    for (const [document, { length }] of documents.entries()) documentIds.fill(document, at, (at += length));
    documentIds.fill(documents.length, at, (b + 1) * seqLen);
  }
  return { ...padded, documentIds };
}
