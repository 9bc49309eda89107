// The texts of numbers as Python's format() makes them, and the choice between 1., 0.5000 and 5.0000e-01 that PyTorch
// makes for a whole tensor (torch/_tensor_str.py, _Formatter). JavaScript rounds ties up where Python rounds to even.
import type { Scalar } from "../addon/wire.ts";

const precision = 4;

/** How the values of one tensor are written. */
export interface Formatter {
  /** Texts are padded to this; those of 0, inf and nan may be longer. */
  readonly width: number;
  text(value: Scalar): string;
}

// Digits of the exact decimal value: a tie has a 5 behind the last digit that is kept, and nothing but zeros behind it.
function isTieAtEven(digits: string, kept: number): boolean {
  return /^50*$/.test(digits.slice(kept)) && Number(digits[kept - 1]) % 2 === 0;
}

/** Python's `format(value, ".4f")`. */
export function fixed(value: number): string {
  const size = Math.abs(value);
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const exact = size.toFixed(precision + 40).replace(".", "");
  const kept = exact.length - 40;
  if (!isTieAtEven(exact, kept)) return sign + size.toFixed(precision);
  return `${sign}${exact.slice(0, kept - precision)}.${exact.slice(kept - precision, kept)}`;
}

/** Python's `format(value, ".4e")`. */
export function scientific(value: number): string {
  const size = Math.abs(value);
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const [mantissa, exponent] = size.toExponential(precision + 40).split("e") as [string, string];
  const digits = mantissa.replace(".", "");
  const rounded = isTieAtEven(digits, precision + 1)
    ? `${digits[0]}.${digits.slice(1, precision + 1)}e${exponent}`
    : size.toExponential(precision);
  return sign + rounded.replace(/e([+-])(\d)$/, "e$10$2");
}

const whole = (value: number) => `${Object.is(value, -0) ? "-0" : value.toFixed(0)}.`;

function special(value: number): string | undefined {
  if (Number.isNaN(value)) return "nan";
  return Number.isFinite(value) ? undefined : value > 0 ? "inf" : "-inf";
}

const widest = (texts: readonly string[]) => texts.reduce((most, one) => Math.max(most, one.length), 1);

export function floatFormatter(values: readonly number[]): Formatter {
  const finite = values.filter((one) => Number.isFinite(one) && one !== 0);
  const most = finite.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  const least = finite.reduce((a, b) => Math.min(a, Math.abs(b)), Infinity);
  const isWhole = finite.every(Number.isInteger);
  const isWide = finite.length > 0 && (most / least > 1000 || most > 1e8 || least < 1e-4);
  const one = isWide ? scientific : isWhole ? whole : fixed;
  const width = widest(finite.map(one));
  return { width, text: (value) => (special(Number(value)) ?? one(Number(value))).padStart(width) };
}

export function plainFormatter(values: readonly Scalar[]): Formatter {
  const text = (value: Scalar) => (typeof value === "boolean" ? (value ? "True" : "False") : String(value));
  const width = widest(values.map(text));
  return { width, text: (value) => text(value).padStart(width) };
}
