// A value as Jupyter shows it: a bundle of representations by media type. A method under Symbol.for("Jupyter.display") returns
// the value's own bundle, which may be empty to show nothing. Other values are formatted as by Node's console.
import { inspect } from "node:util";

export const displaySymbol: unique symbol = Symbol.for("Jupyter.display") as never;

/** Media type to data: text as a string, JSON as a value, binary data in base64. */
export type MimeBundle = Record<string, unknown>;

/** The bundle, or a promise of it if the value's method is asynchronous. */
export function bundleOf(value: unknown): MimeBundle | Promise<MimeBundle> {
  const method = displayMethod(value);
  if (method === undefined) return plainBundle(value);
  const result = method.call(value);
  if (result instanceof Promise) return result.then((bundle: unknown) => complete(bundle, value));
  return complete(result, value);
}

function displayMethod(value: unknown): (() => unknown) | undefined {
  if (value === null || (typeof value !== "object" && typeof value !== "function")) return undefined;
  const method: unknown = Reflect.get(value, displaySymbol);
  return typeof method === "function" ? (method as () => unknown) : undefined;
}

function plainBundle(value: unknown): MimeBundle {
  return { "text/plain": typeof value === "string" ? inspect(value) : inspect(value, { depth: 4 }) };
}

function complete(bundle: unknown, value: unknown): MimeBundle {
  if (typeof bundle !== "object" || bundle === null) return plainBundle(value);
  const encoded = encodeBundle(bundle as MimeBundle);
  if (Object.keys(encoded).length === 0) return encoded;
  return "text/plain" in encoded ? encoded : { ...encoded, "text/plain": fallbackText(value) };
}

function fallbackText(value: unknown): string {
  const name = (value as { constructor?: { name?: string } })?.constructor?.name;
  return `<${name === undefined || name === "" ? "display" : name}>`;
}

/** Encodes bytes as base64. */
export function encodeBundle(bundle: MimeBundle): MimeBundle {
  return Object.fromEntries(
    Object.entries(bundle).map(([type, data]) => [
      type,
      data instanceof Uint8Array ? Buffer.from(data).toString("base64") : data,
    ]),
  );
}
