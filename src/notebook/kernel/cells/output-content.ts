// What a cell shows, before it leaves the main thread: the one place where any value becomes content that a message can carry,
// or an error in the cell. Text that is too long is cut, and says so.
import { jsonText } from "../protocol/json.ts";
import type { Content } from "../protocol/message.ts";
import type { CellError } from "../thread-messages.ts";

/** Characters of one output: more than a browser shows, and less than a socket's clients refuse. */
export const maxOutputLength = 16 * 2 ** 20;
const maxErrorLength = 2 ** 20;

/** The text, or its beginning and how much is missing. */
export function cutText(text: string, most = maxOutputLength): string {
  if (text.length <= most) return text;
  return text.slice(0, most).toWellFormed() + cutNote(text.length - most, "characters");
}

function cutNote(missing: number, unit: string): string {
  return `\n… cut here: ${missing.toLocaleString("en-US")} more ${unit}, too many for one output; write them to a file\n`;
}

/** What a stream was given; bytes that are too many for a string lose those that would be cut anyway. */
export function streamText(chunk: string | Uint8Array): string {
  if (typeof chunk === "string") return cutText(chunk);
  const shown = Buffer.from(chunk.buffer, chunk.byteOffset, Math.min(chunk.byteLength, maxOutputLength));
  const missing = chunk.byteLength - shown.length;
  return shown.toString("utf8") + (missing > 0 ? cutNote(missing, "bytes") : "");
}

/** @throws an error for the cell, if a message can't carry the content */
export function outputContent(content: Content): Content {
  const data = content["data"] as Record<string, unknown> | undefined;
  const plain = data?.["text/plain"];
  const cut =
    typeof plain === "string" ? { ...content, data: { ...data, "text/plain": cutText(plain) } } : content;
  for (const [type, value] of Object.entries(data ?? {})) checkType(type, value);
  let text: string;
  try {
    text = jsonText(cut);
  } catch (cause) {
    throw new TypeError(`display: ${unshowable(data)} can't be shown: ${reason(cause)}`, { cause });
  }
  if (text.length > 2 * maxOutputLength) {
    const size = `${Math.round(text.length / 1e6)} MB`;
    throw new RangeError(
      `display: expected an output of at most ${Math.round((2 * maxOutputLength) / 1e6)} MB, found ${unshowable(data)} of ${size}: write it to a file, and show a part of it or a link`,
    );
  }
  const made = JSON.parse(text) as Content;
  const { metadata = {} } = made;
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata))
    throw new TypeError(`display: expected metadata to be an object, found ${kindOf(metadata)}`);
  return made;
}

/** A notebook file holds text under all types but JSON's. */
function checkType(type: string, value: unknown): void {
  if (/[/+]json$/.test(type) || typeof value === "string") return;
  if (Array.isArray(value) && value.every((line) => typeof line === "string")) return;
  throw new TypeError(`display: expected ${type} to be a string, found ${kindOf(value)}`);
}

function kindOf(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "a list" : `a value of type ${typeof value}`;
}

function unshowable(data: Record<string, unknown> | undefined): string {
  const types = Object.keys(data ?? {}).filter((type) => type !== "text/plain");
  return types.length === 0 ? "the output" : types.join(", ");
}

/** V8 draws a circle over several lines. */
function reason(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause);
  return text.split("\n")[0]!;
}

/** An error whose texts a message can carry. */
export function errorContent({ ename, evalue, traceback }: CellError): CellError {
  let left = maxErrorLength;
  const lines: string[] = [];
  for (const line of traceback) {
    if (left <= 0) break;
    lines.push(cutText(line, left));
    left -= line.length;
  }
  return { ename: cutText(ename, 1000), evalue: cutText(evalue, maxErrorLength), traceback: lines };
}
