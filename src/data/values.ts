// JSON values that keep what Python would: 20.0 stays a float, 1234567890123456789 keeps its digits, keys keep their order.
// JavaScript's own JSON.parse loses all three without saying so, and a chat template then writes other text.
//
// An integer beyond 2^53 is a `bigint`. A float whose value is whole (20.0, 1e22) is a boxed `Number`, which survives
// structuredClone; any other number is what it looks like: a whole one an integer, one with a fraction a float. An object
// whose keys JavaScript would put into another order ({"b": 1, "1": 2}) is a `Map`.

/** A boxed number: the interface of it that is needed here. */
export interface BoxedNumber {
  valueOf(): number;
}

/** True for what is a float in Python: boxed numbers, and plain ones with a fraction. */
export function isFloat(value: unknown): value is number | BoxedNumber {
  // oxlint-disable-next-line unicorn/no-instanceof-builtins -- a number is boxed in this thread
  return value instanceof Number || (typeof value === "number" && !Number.isSafeInteger(value));
}

/** A double as a value: boxed where it is whole, so that it stays a float. */
export function float(value: number): number | BoxedNumber {
  return Number.isInteger(value) ? (Object(value) as BoxedNumber) : value;
}

/** An integer as a value: a number where that is exact. */
export function integer(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** A float as Python writes it (`repr`): 20.0, 1e-07, 1e+22, inf, nan. */
export function pythonFloat(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const [, sign, first, rest = "", exponent] = /^(-?)(\d)(?:\.(\d+))?e([-+]\d+)$/.exec(
    value.toExponential(),
  )!;
  const digits = first! + rest;
  const power = Number(exponent);
  if (power < -4 || power >= 16) {
    const size = String(Math.abs(power)).padStart(2, "0");
    return `${sign}${first}${rest && `.${rest}`}e${power < 0 ? "-" : "+"}${size}`;
  }
  if (power < 0) return `${sign}0.${"0".repeat(-power - 1)}${digits}`;
  const whole = digits.slice(0, power + 1).padEnd(power + 1, "0");
  return `${sign}${whole}.${digits.slice(power + 1) || "0"}`;
}

/** A value as Python's `json.dumps(value, ensure_ascii=False)` writes it. `undefined` in an object is left out. */
export function pythonJson(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (value === null || value === undefined) return "null";
  if (isFloat(value)) {
    const number = Number(value);
    return Number.isFinite(number)
      ? pythonFloat(number)
      : Number.isNaN(number)
        ? "NaN"
        : number > 0
          ? "Infinity"
          : "-Infinity";
  }
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean")
    return String(value);
  if (typeof value !== "object") throw new TypeError(`a ${typeof value} can't be written as JSON`);
  if (value instanceof Date) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(", ")}]`;
  if (ArrayBuffer.isView(value))
    return `[${Array.from(value as unknown as ArrayLike<unknown>, pythonJson).join(", ")}]`;
  const entries = value instanceof Map ? [...(value as Map<string, unknown>)] : Object.entries(value);
  const written = entries.filter(([, entry]) => entry !== undefined);
  return `{${written.map(([key, entry]) => `${JSON.stringify(key)}: ${pythonJson(entry)}`).join(", ")}}`;
}

/** A copy with what JavaScript people expect: numbers without boxes, objects without Maps. A bigint stays one. */
export function plainValue(value: unknown): unknown {
  if (isFloat(value)) return Number(value);
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value !== "object" || value === null) return value;
  const entries = value instanceof Map ? [...(value as Map<string, unknown>)] : Object.entries(value);
  return Object.fromEntries(entries.map(([key, entry]) => [key, plainValue(entry)]));
}

// A text with none of these is what JSON.parse makes of it: a float that is or may be whole, an exponent, a key that is an
// array's index, a long number. Apart, each is found several times faster than all of them by one expression.
const wholeFloat = /\d\.(?:0*(?:[\s,\]}]|$)|\d{15})/;
const exponent = /\d[eE][-+\d]/;
const indexKey = /"\d+"\s*:/;

/** Whether 16 digits follow each other: one of them stands at a multiple of 16. */
function hasLongNumber(text: string): boolean {
  const isDigit = (at: number): boolean => {
    const code = text.charCodeAt(at);
    return code >= 0x30 && code <= 0x39;
  };
  for (let at = 0; at < text.length; at += 16) {
    if (!isDigit(at)) continue;
    let start = at;
    while (isDigit(start - 1)) start--;
    let end = at + 1;
    while (isDigit(end)) end++;
    if (end - start >= 16) return true;
  }
  return false;
}

const isSpecial = (text: string): boolean =>
  wholeFloat.test(text) || exponent.test(text) || indexKey.test(text) || hasLongNumber(text);

/**
 * `JSON.parse` with values as above.
 * @throws SyntaxError for what is not JSON; it names NaN and Infinity, which Python's writer makes.
 */
export function parseJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const [, name] = /[[:,]\s*(-?(?:NaN|Infinity))\s*[,\]}]/.exec(text) ?? [];
    if (name === undefined) throw error;
    throw new SyntaxError(`${name} is no JSON value; write null or a number, or leave the key out`, {
      cause: error,
    });
  }
  return isSpecial(text) ? new Reader(text).value(0) : value;
}

const maxDepth = 500;
const isIndex = (key: string): boolean => /^(?:0|[1-9]\d{0,9})$/.test(key);

/** Reads a text that is known to be JSON. */
class Reader {
  readonly #text: string;
  #at = 0;
  /** Of the next backslash at or after `#at`; a string that ends before it is as it stands. */
  #backslash: number;

  constructor(text: string) {
    this.#text = text;
    this.#backslash = text.indexOf("\\");
  }

  value(depth: number): unknown {
    if (depth > maxDepth) throw new SyntaxError(`nested deeper than ${maxDepth} levels`);
    switch (this.#peek()) {
      case "{":
        return this.#object(depth);
      case "[":
        return this.#array(depth);
      case '"':
        return this.#string();
      case "t":
        return this.#word("true", true);
      case "f":
        return this.#word("false", false);
      case "n":
        return this.#word("null", null);
      default:
        return this.#number();
    }
  }

  /** The next character that is no space, at which reading goes on. */
  #peek(): string {
    while (this.#text.charCodeAt(this.#at) <= 0x20) this.#at++;
    return this.#text[this.#at]!;
  }

  #word<T>(word: string, value: T): T {
    this.#at += word.length;
    return value;
  }

  #object(depth: number): unknown {
    const object: Record<string, unknown> = {};
    const keys: string[] = [];
    let hasIndex = false;
    this.#at++;
    while (this.#peek() !== "}") {
      if (this.#text[this.#at] === ",") {
        this.#at++;
        this.#peek();
      }
      const key = this.#string();
      this.#peek(); // the colon
      this.#at++;
      const value = this.value(depth + 1);
      hasIndex ||= isIndex(key);
      keys.push(key);
      if (key === "__proto__")
        Object.defineProperty(object, key, {
          value,
          enumerable: true,
          writable: true,
          configurable: true,
        });
      else object[key] = value;
    }
    this.#at++;
    if (!hasIndex) return object;
    const inOrder = [...new Set(keys)];
    const isSame = Object.keys(object).every((key, i) => key === inOrder[i]);
    return isSame ? object : new Map(inOrder.map((key) => [key, object[key]]));
  }

  #array(depth: number): unknown[] {
    const array: unknown[] = [];
    this.#at++;
    while (this.#peek() !== "]") {
      if (this.#text[this.#at] === ",") this.#at++;
      array.push(this.value(depth + 1));
    }
    this.#at++;
    return array;
  }

  #string(): string {
    const text = this.#text;
    const start = this.#at + 1;
    if (this.#backslash !== -1 && this.#backslash < start) this.#backslash = text.indexOf("\\", start);
    let end = text.indexOf('"', start);
    if (this.#backslash === -1 || end < this.#backslash) {
      this.#at = end + 1;
      return text.slice(start, end);
    }
    const isEscaped = (): boolean => {
      let backslashes = 0;
      while (text[end - 1 - backslashes] === "\\") backslashes++;
      return backslashes % 2 === 1;
    };
    while (isEscaped()) end = text.indexOf('"', end + 1);
    this.#at = end + 1;
    return JSON.parse(text.slice(start - 1, end + 1)) as string;
  }

  #number(): number | bigint | BoxedNumber {
    const start = this.#at;
    while (isNumberCharacter(this.#text.charCodeAt(this.#at))) this.#at++;
    const digits = this.#text.slice(start, this.#at);
    if (/[.eE]/.test(digits)) return float(Number(digits));
    const number = Number(digits);
    return Number.isSafeInteger(number) ? number : BigInt(digits);
  }
}

// Digits, - + . e E
const isNumberCharacter = (code: number): boolean =>
  (code >= 0x30 && code <= 0x39) ||
  code === 0x2d ||
  code === 0x2b ||
  code === 0x2e ||
  code === 0x65 ||
  code === 0x45;
