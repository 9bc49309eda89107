// Decides what becomes of a prepared row: whether it is trained, cut to seq_len, dropped or bad. One place, so that
// training, preview and statistics say the same of the same row.
import type { Fate } from "../load/ledger.ts";
import type { PreparedRow } from "../load/prepare.ts";
import { sliceColumns, type RowColumns } from "../columns.ts";

export interface FitOptions {
  readonly seqLen: number;
  /** `split`: a long row is whatever it is, and cut where it is put into sequences. */
  readonly onOverlong: "truncate" | "drop" | "error" | "split";
}

/** A row's fate, and its columns where it is trained. `isOverlongError`: `training.on_overlong: error` applies. */
export interface FittedRow {
  readonly fate: Fate;
  readonly columns?: RowColumns;
  readonly isOverlongError?: true;
  /** Of a row that is trained: what of it isn't in its tokens. */
  readonly leftOut?: readonly string[] | undefined;
}

export const nothingTrained = "nothing in it is trained";

/** Applies `training.on_overlong`, and drops what has no trained token. */
export function fitRow(prepared: PreparedRow, options: FitOptions): FittedRow {
  if ("bad" in prepared) return { fate: { kind: "bad", reason: prepared.bad } };
  const { columns, leftOut } = prepared;
  if (!columns.lossMask.includes(1, 1)) return { fate: { kind: "dropped", reason: nothingTrained } };
  const { seqLen, onOverlong } = options;
  if (columns.tokens.length <= seqLen || onOverlong === "split")
    return { fate: { kind: "trained" }, columns, leftOut };
  const reason = `longer than training.seq_len (${seqLen})`;
  if (onOverlong === "error") return { fate: { kind: "bad", reason }, isOverlongError: true };
  if (onOverlong === "drop") return { fate: { kind: "dropped", reason } };
  const cut = sliceColumns(columns, 0, seqLen);
  if (!cut.lossMask.includes(1, 1))
    return { fate: { kind: "dropped", reason: `${reason}, and nothing in its first part is trained` } };
  return { fate: { kind: "truncated", reason }, columns: cut, leftOut };
}
