// What flows through the data pipeline before tokenization: a row of a file, and an example of a known format.
// Nothing here knows tensors.
import type { RowColumns } from "./columns.ts";
import { isFloat, pythonFloat } from "./values.ts";

/** A row as a file gives it, and where it stood. `line` is 1-based; in Parquet it is the row's number. */
export interface SourceRow {
  readonly file: string;
  readonly line: number;
  readonly value: unknown;
}

/** One turn of a conversation. Further fields (tool_calls, name …) reach the chat template unchanged. */
export interface Message {
  readonly role: string;
  readonly content: string;
  /** What the row has in place of text: null beside tool calls, an object as a tool's answer. A template may want that. */
  readonly rawContent?: unknown;
  readonly [field: string]: unknown;
}

/** A row whose format is known and checked. */
export type Example =
  | {
      readonly kind: "messages";
      readonly messages: readonly Message[];
      readonly tools?: readonly unknown[];
      /** So many turns at the beginning are a prompt, which is not trained (but by `all`). */
      readonly promptTurns?: number;
    }
  | { readonly kind: "completion"; readonly prompt: string; readonly completion: string }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "tokens"; readonly columns: RowColumns };

/** Which text of a conversation is trained. System text never is. */
export type TrainOn = "assistant" | "last" | "all";

/** A row that can't be used. `reason` reads as the end of "FILE:LINE: …". */
export class BadRow extends Error {
  override name = "BadRow";
  readonly reason: string;

  constructor(reason: string) {
    super(reason);
    this.reason = reason;
  }
}

/** Names a JSON value for an error message: `an array`, `the number 3`, `text "abc…"`. */
export function describe(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (isFloat(value)) return `the number ${pythonFloat(Number(value))}`;
  if (value instanceof Map) return describe(Object.fromEntries(value));
  if (typeof value === "string")
    return `text ${JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value)}`;
  if (typeof value === "object")
    return `an object with ${Object.keys(value).slice(0, 6).join(", ") || "no keys"}`;
  return typeof value === "number" || typeof value === "boolean" || typeof value === "bigint"
    ? `the ${typeof value} ${value}`
    : `a ${typeof value}`;
}

/** True for a plain JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  return !(value instanceof Map) && !isFloat(value);
}
