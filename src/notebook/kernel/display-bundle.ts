// A value as Jupyter shows it: a bundle of the same thing in several media types. A value that has a method under
// Symbol.for("Jupyter.display") makes its own, and shows nothing with an empty one; everything else is shown as Node's console does.
import { inspect } from "node:util";

export const displaySymbol: unique symbol = Symbol.for("Jupyter.display") as never;

/** Media type to data: text as a string, JSON as a value, binary data in base64. */
export type MimeBundle = Record<string, unknown>;

/** The bundle, or a promise of it where the value's own method is asynchronous. */
export function bundleOf(value: unknown): MimeBundle | Promise<MimeBundle> {
  const method = displayMethod(value);
  if (method === undefined) return plain(value);
  const made = method.call(value);
  if (made instanceof Promise) return made.then((bundle: unknown) => complete(bundle, value));
  return complete(made, value);
}

function displayMethod(value: unknown): (() => unknown) | undefined {
  if (value === null || (typeof value !== "object" && typeof value !== "function")) return undefined;
  const method: unknown = Reflect.get(value, displaySymbol);
  return typeof method === "function" ? (method as () => unknown) : undefined;
}

function plain(value: unknown): MimeBundle {
  return { "text/plain": typeof value === "string" ? inspect(value) : inspect(value, { depth: 4 }) };
}

function complete(bundle: unknown, value: unknown): MimeBundle {
  if (typeof bundle !== "object" || bundle === null) return plain(value);
  const encoded = encodeBundle(bundle as MimeBundle);
  if (Object.keys(encoded).length === 0) return encoded;
  return "text/plain" in encoded ? encoded : { ...encoded, "text/plain": fallbackText(value) };
}

function fallbackText(value: unknown): string {
  const name = (value as { constructor?: { name?: string } })?.constructor?.name;
  return `<${name === undefined || name === "" ? "display" : name}>`;
}

/** Bytes as base64, the rest as it is. */
export function encodeBundle(bundle: MimeBundle): MimeBundle {
  return Object.fromEntries(
    Object.entries(bundle).map(([type, data]) => [
      type,
      data instanceof Uint8Array ? Buffer.from(data).toString("base64") : data,
    ]),
  );
}
