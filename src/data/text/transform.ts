// A user's function that makes messages of a file's rows. It runs where the rows are read, since a function can't be sent to
// the tokenizing thread; that gets what the function returned, checked.
import { createHash } from "node:crypto";
import { messageOf } from "../../util/index.ts";
import { toExample } from "./formats.ts";
import { parseRow, type RowStore, type StoredRow } from "../source/store.ts";
import { BadRow, describe, isRecord, type Example, type Message } from "../types.ts";
import { parseJson, plainValue, pythonJson } from "../values.ts";

/** A conversation, or one with what else its row has to say to the chat template. */
export type Transformed =
  | readonly Message[]
  | { readonly messages: readonly Message[]; readonly system?: string; readonly tools?: readonly unknown[] };

/** Makes messages of a row, whose integers beyond 2^53 are bigints. The same for the same row whenever it is called: a resumed run asks for some rows again. */
export type MessageTransform<Row extends object = Record<string, unknown>> = (row: Row) => Transformed;

/**
 * The rows of a store as `transform` makes them; where it fails a row is bad, with the reason. `name` is what messages
 * call it. The content's hash holds the function's text, so that the state of another function's loader isn't taken.
 */
export function transformStore(
  store: RowStore,
  transform: MessageTransform,
  name: string,
  text: string = transform.toString(),
): RowStore {
  const contentHash = createHash("sha256")
    .update(JSON.stringify([store.contentHash, text]))
    .digest("hex");
  return { ...store, contentHash, get: (row) => transformRow(store.get(row), transform, name) };
}

/** A row as `transform` makes it. */
export function transformRow(stored: StoredRow, transform: MessageTransform, name: string): StoredRow {
  const row = parseRow(stored);
  if (!("value" in row)) return row;
  const { file, line, value } = row;
  if (!isRecord(value)) return { file, line, bad: `expected an object, found ${describe(value)}` };
  try {
    // A copy: a function may change its argument.
    const own = plainValue(value) as Record<string, unknown>;
    return { file, line, example: exampleOf(transform(own)) };
  } catch (error) {
    return { file, line, bad: `${name} ${error instanceof BadRow ? error.reason : thrown(error)}` };
  }
}

/** Checks what the function returned. The example is a copy, made through JSON, so that the function can't change it later. */
function exampleOf(returned: unknown): Example {
  // One that fails would end the process before the sentence about it is said.
  if (returned instanceof Promise) returned.catch(() => undefined);
  const row: unknown = Array.isArray(returned) ? { messages: returned } : returned;
  const found =
    returned instanceof Promise
      ? "a promise: it can't be async"
      : isRecord(row) && !Array.isArray(row["messages"])
        ? `an object whose messages are ${describe(row["messages"])}`
        : isRecord(row)
          ? undefined
          : describe(returned);
  if (found !== undefined)
    throw new BadRow(
      `must return messages, [{ role, content }, …], or { messages, tools }; it gave ${found}`,
    );
  try {
    return toExample(parseJson(pythonJson(row)), "messages");
  } catch (error) {
    throw new BadRow(`gave what can't be used: ${error instanceof BadRow ? error.reason : messageOf(error)}`);
  }
}

/** What was thrown, and by which line of which file. */
function thrown(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${describe(error)}`;
  const frames = [...(error.stack ?? "").matchAll(/^ {4}at (?:.* \()?(.+:\d+):\d+\)?$/gm)];
  const place = frames.map((frame) => frame[1]!).find((at) => !at.startsWith("node:"));
  return `threw ${error.name}: ${messageOf(error)}${place === undefined ? "" : ` (${place})`}`;
}
