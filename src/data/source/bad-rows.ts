// Rows that can't be read, and why.
import type { SourceRow } from "../types.ts";
import { maxRowBytes } from "./bytes.ts";

/** A row, or a line of which only the reason is known why it is none. */
export type ReadRow = SourceRow | { readonly file: string; readonly line: number; readonly bad: string };

export const notUtf8 = "its text is not UTF-8 (Latin-1, Windows-1252 or the like); save the file as UTF-8";

/** Why a row without bytes is bad. */
export const tooLong = `more than ${Math.round(maxRowBytes / 2 ** 20)} MiB in one row, which is the limit`;
