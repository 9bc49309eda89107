// JSON that every Jupyter client can read and save. JavaScript's strings may hold half of a surrogate pair; Python's can't be
// written to a file then, and the notebook couldn't be saved. Such a half becomes U+FFFD.

/** The only escapes of surrogates that JSON.stringify writes are those of halves. */
const half = /\\ud[89a-f]/;

/** @throws if the value has no JSON: a BigInt, a circle, more than a string can hold */
export function jsonText(value: unknown): string {
  const text = JSON.stringify(value);
  return half.test(text) ? JSON.stringify(wellFormed(JSON.parse(text))) : text;
}

function wellFormed(value: unknown): unknown {
  if (typeof value === "string") return value.toWellFormed();
  if (Array.isArray(value)) return value.map(wellFormed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key.toWellFormed(), wellFormed(one)]));
}
