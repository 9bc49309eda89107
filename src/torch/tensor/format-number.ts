// Formats numbers like Python's format(), and chooses between 1., 0.5000 and 5.0000e-01 for a whole tensor like PyTorch
// (_Formatter in torch/_tensor_str.py). Needed because JavaScript rounds ties up and Python rounds them to even.
import type { Scalar } from "../addon/wire.ts";

const precision = 4;

/** Formats the values of one tensor. */
export interface Formatter {
  /** Texts are padded to this width; those of 0, inf and nan may be longer. */
  readonly width: number;
  text(value: Scalar): string;
}

// A tie: after the kept digits of the exact decimal value come a 5 and then only zeros.
function isTieAtEven(digits: string, kept: number): boolean {
  return /^50*$/.test(digits.slice(kept)) && Number(digits[kept - 1]) % 2 === 0;
}

/** Python's `format(value, ".4f")`. */
export function fixed(value: number): string {
  const magnitude = Math.abs(value);
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const exact = magnitude.toFixed(precision + 40).replace(".", "");
  const kept = exact.length - 40;
  if (!isTieAtEven(exact, kept)) return sign + magnitude.toFixed(precision);
  return `${sign}${exact.slice(0, kept - precision)}.${exact.slice(kept - precision, kept)}`;
}

/** Python's `format(value, ".4e")`. */
export function scientific(value: number): string {
  const magnitude = Math.abs(value);
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const [mantissa, exponent] = magnitude.toExponential(precision + 40).split("e") as [string, string];
  const digits = mantissa.replace(".", "");
  const rounded = isTieAtEven(digits, precision + 1)
    ? `${digits[0]}.${digits.slice(1, precision + 1)}e${exponent}`
    : magnitude.toExponential(precision);
  return sign + rounded.replace(/e([+-])(\d)$/, "e$10$2");
}

const wholeNumber = (value: number) => `${Object.is(value, -0) ? "-0" : value.toFixed(0)}.`;

function special(value: number): string | undefined {
  if (Number.isNaN(value)) return "nan";
  return Number.isFinite(value) ? undefined : value > 0 ? "inf" : "-inf";
}

const maxWidth = (texts: readonly string[]) => texts.reduce((most, one) => Math.max(most, one.length), 1);

export function floatFormatter(values: readonly number[]): Formatter {
  const finite = values.filter((one) => Number.isFinite(one) && one !== 0);
  const max = finite.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const min = finite.reduce((a, b) => Math.min(a, Math.abs(b)), Infinity);
  const isWhole = finite.every(Number.isInteger);
  const isWide = finite.length > 0 && (max / min > 1000 || max > 1e8 || min < 1e-4);
  const write = isWide ? scientific : isWhole ? wholeNumber : fixed;
  const width = maxWidth(finite.map(write));
  return { width, text: (value) => (special(Number(value)) ?? write(Number(value))).padStart(width) };
}

export function plainFormatter(values: readonly Scalar[]): Formatter {
  const text = (value: Scalar) => (typeof value === "boolean" ? (value ? "True" : "False") : String(value));
  const width = maxWidth(values.map(text));
  return { width, text: (value) => text(value).padStart(width) };
}
