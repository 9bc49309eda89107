// JSON that gives back exactly what it was given, for a checkpoint's state: numbers that JSON has no text for (NaN,
// infinities, -0), bigints and typed arrays are written as {"$kind": text}. What has no exact form (functions, class
// instances, undefined in a list) is refused when it is written, not lost.

export type Exact =
  | null
  | boolean
  | number
  | bigint
  | string
  | ExactArray
  | readonly Exact[]
  | { readonly [key: string]: Exact | undefined };

type ExactArray = Uint8Array | Int32Array | Float32Array | Float64Array | BigInt64Array | Uint32Array;

const arrays = { Uint8Array, Int32Array, Uint32Array, Float32Array, Float64Array, BigInt64Array } as const;

function encode(value: unknown, path: string): unknown {
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number") {
    return Number.isFinite(value) && !Object.is(value, -0)
      ? value
      : { $number: Object.is(value, -0) ? "-0" : `${value}` };
  }
  if (typeof value === "bigint") return { $bigint: value.toString() };
  if (Array.isArray(value)) return value.map((one, i) => encode(one, `${path}[${i}]`));
  if (typeof value === "object") {
    const tag = Object.getPrototypeOf(value) as { constructor?: { name?: string } } | null;
    const name = tag?.constructor?.name ?? "Object";
    if (ArrayBuffer.isView(value) && (Object.hasOwn(arrays, name) || value instanceof Uint8Array)) {
      const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      return { [`$${value instanceof Uint8Array ? "Uint8Array" : name}`]: bytes.toString("base64") };
    }
    if (name === "Object") {
      const entries = Object.entries(value).filter(([, one]) => one !== undefined);
      const encoded = entries.map(([key, one]) => [key, encode(one, `${path}.${key}`)] as const);
      // A plain object that looks like one of ours is wrapped, so that it comes back as it was.
      const ambiguous = encoded.length === 1 && encoded[0]![0].startsWith("$");
      return ambiguous ? { $object: Object.fromEntries(encoded) } : Object.fromEntries(encoded);
    }
    throw new TypeError(`checkpoint state: ${path}: a ${name} has no exact JSON form`);
  }
  throw new TypeError(`checkpoint state: ${path}: ${typeof value} has no exact JSON form`);
}

function decode(value: unknown): Exact {
  if (typeof value !== "object" || value === null) return value as Exact;
  if (Array.isArray(value)) return value.map(decode);
  const entries = Object.entries(value);
  const [key, inner] = entries.length === 1 ? entries[0]! : ["", undefined];
  if (key === "$number") return Number(inner);
  if (key === "$bigint") return BigInt(inner as string);
  if (key.startsWith("$") && Object.hasOwn(arrays, key.slice(1))) {
    const bytes = Uint8Array.from(Buffer.from(inner as string, "base64"));
    return new arrays[key.slice(1) as keyof typeof arrays](bytes.buffer);
  }
  const plain = key === "$object" ? Object.entries(inner as object) : entries;
  return Object.fromEntries(plain.map(([name, one]) => [name, decode(one)]));
}

/** @throws TypeError naming the path of a value that would not come back as it is */
export function toExactJson(value: Exact): string {
  return JSON.stringify(encode(value, "state"));
}

/** The reverse of `toExactJson`. @throws SyntaxError for text that isn't JSON */
export function fromExactJson(text: string): Exact {
  return decode(JSON.parse(text));
}
