// Per-token columns: arrays with one value a token, by name. A row's encoder makes them, and the steps after it (cutting,
// caching, packing, the way to the device) carry all that are there. A new column is declared here and made in encode.ts;
// prepare.ts raises its version, so that cached rows without the column are not used.

/** As tensors the integers of an Int32Array are int64; the others keep their type. */
export type Column = Int32Array | Uint8Array | Float32Array;

/** Columns by the names of their types, as files have them. */
export const columnArrays = { Int32Array, Uint8Array, Float32Array } as const;

/** Columns of a tokenized row. */
export interface RowColumns {
  /** Token ids. */
  readonly tokens: Int32Array;
  /** 1 where the token is a target, that is, where its prediction is trained. Never the first one. */
  readonly lossMask: Uint8Array;
}

/** Columns of a batch. Position t predicts the next token, so what a row says of a target is one position earlier here. */
export interface BatchColumns {
  readonly tokens: Int32Array;
  /** The token to predict; -100 where nothing is trained. */
  readonly labels: Int32Array;
  /** Of the token in its document, from 0. */
  readonly positions: Int32Array;
}

/** Name and values of each column. */
export function columnEntries<C extends object>(columns: C): [keyof C & string, Column][] {
  return Object.entries(columns) as [keyof C & string, Column][];
}

/** For each column what `make` makes of it, by the same name. */
export function mapColumns<C extends object, Made>(
  columns: C,
  make: (values: NonNullable<C[keyof C]>, name: keyof C & string) => Made,
): { [Name in keyof C]: Made } {
  const entries = Object.entries(columns) as [keyof C & string, NonNullable<C[keyof C]>][];
  const made = entries.map(([name, values]) => [name, make(values, name)] as const);
  return Object.fromEntries(made) as { [Name in keyof C]: Made };
}

/** Tokens `from` (inclusive) to `to` (exclusive) of all columns: views of them. */
export function sliceColumns<C extends { readonly [Name in keyof C]?: Column }>(
  columns: C,
  from: number,
  to: number,
): C {
  return mapColumns(columns, (values) => values.subarray(from, to)) as C;
}

/** A column of zeros, of the type of another one. */
export function zerosLike(values: Column, length: number): Column {
  return new (values.constructor as new (length: number) => Column)(length);
}
