// Python's two ways to format text: "%s" % value and "{}".format(value). A specification that isn't implemented is refused.
import { pythonFloat } from "../../values.ts";
import { spendText } from "./budget.ts";
import { RenderError, UnsupportedError } from "./errors.ts";
import { repr, str } from "./text.ts";
import {
  codePoints,
  Dict,
  isList,
  isNumber,
  numeric,
  Tuple,
  typeName,
  Undefined,
  type Arguments,
  type Value,
} from "./values.ts";

const percent =
  /%(?:\((?<key>[^)]*)\))?(?<flags>[-+ 0#]*)(?<width>\*|\d*)(?:\.(?<precision>\*|\d*))?[hlL]?(?<type>[^]?)/g;

/** `format % value`. */
export function formatPercent(format: string, value: Value): string {
  const items = value instanceof Tuple ? value.items : [value];
  let used = 0;
  let hasKeys = false;
  const next = (): Value => {
    if (used >= items.length) throw new RenderError("not enough arguments for format string");
    return items[used++]!;
  };
  const text = format.replace(percent, (...match) => {
    const groups = match.at(-1) as Record<string, string | undefined>;
    const { key, flags = "", type = "" } = groups;
    if (type === "%") return "%";
    if (groups["width"] === "*" || groups["precision"] === "*")
      throw new UnsupportedError('"*" in a % format');
    hasKeys ||= key !== undefined;
    const argument = key === undefined ? next() : keyed(value, key);
    const precision = groups["precision"] === undefined ? undefined : Number(groups["precision"]);
    return padded(percentBody(type, argument, flags, precision), type, flags, Number(groups["width"] ?? 0));
  });
  // Python takes what can be subscripted for a mapping that no key was asked of.
  const isMapping = value instanceof Dict || value instanceof Undefined || isList(value);
  if (!hasKeys && used < items.length && !(isMapping && used === 0))
    throw new RenderError("not all arguments converted during string formatting");
  spendText(text.length);
  return text;
}

function keyed(value: Value, key: string): Value {
  if (!(value instanceof Dict)) throw new RenderError("format requires a mapping");
  const found = value.get(key);
  if (found === undefined) throw new RenderError(`'${key}'`);
  return found;
}

function percentBody(type: string, value: Value, flags: string, precision: number | undefined): string {
  switch (type) {
    case "s":
      return truncated(str(value), precision);
    case "r":
      return truncated(repr(value), precision);
    case "c":
      if (typeof value === "string" && codePoints(value) === 1) return value;
      if (typeof value === "bigint" && value >= 0n && value < 0x110000n)
        return String.fromCodePoint(Number(value));
      throw new RenderError("%c requires int or char");
    case "d":
    case "i":
    case "u": {
      if (!isNumber(value))
        throw new RenderError(`%${type} format: a real number is required, not ${typeName(value)}`);
      if (precision !== undefined) throw new UnsupportedError(`a precision in %${type}`);
      const number = numeric(value);
      return signed(
        typeof number === "bigint" ? number.toString() : BigInt(Math.trunc(number)).toString(),
        flags,
      );
    }
    case "x":
    case "X":
    case "o": {
      if (typeof value !== "bigint")
        throw new RenderError(`%${type} format: an integer is required, not ${typeName(value)}`);
      if (flags.includes("#")) throw new UnsupportedError('"#" in a % format');
      const digits = value.toString(type === "o" ? 8 : 16);
      return signed(type === "X" ? digits.toUpperCase() : digits, flags);
    }
    case "f":
    case "F":
    case "e":
    case "E":
    case "g":
    case "G":
      if (!isNumber(value)) throw new RenderError(`must be real number, not ${typeName(value)}`);
      return signed(floatText(Number(numeric(value)), type, precision ?? 6), flags);
    default:
      throw new UnsupportedError(`"%${type}" in a % format`);
  }
}

const truncated = (text: string, precision: number | undefined): string =>
  precision === undefined ? text : Array.from(text).slice(0, precision).join("");

const signed = (digits: string, flags: string): string =>
  digits.startsWith("-")
    ? digits
    : flags.includes("+")
      ? `+${digits}`
      : flags.includes(" ")
        ? ` ${digits}`
        : digits;

function padded(text: string, type: string, flags: string, width: number): string {
  spendText(width);
  const missing = width - codePoints(text);
  if (missing <= 0) return text;
  if (flags.includes("-")) return text + " ".repeat(missing);
  if (!flags.includes("0") || /[srac]/.test(type)) return " ".repeat(missing) + text;
  const sign = /^[-+ ]/.exec(text)?.[0] ?? "";
  return sign + "0".repeat(missing) + text.slice(sign.length);
}

/** A float by one of printf's types. */
function floatText(value: number, type: string, precision: number): string {
  if (!Number.isFinite(value)) return pythonFloat(value);
  if (precision > 60) throw new UnsupportedError("a precision above 60");
  const isUpper = type === type.toUpperCase();
  const text = floatLower(value, type.toLowerCase(), precision);
  return isUpper ? text.toUpperCase() : text;
}

function floatLower(value: number, type: string, precision: number): string {
  if (type === "f") {
    if (Math.abs(value) >= 1e21) return `${BigInt(value)}${precision > 0 ? `.${"0".repeat(precision)}` : ""}`;
    return withSign(value, halfEven(Math.abs(value), precision));
  }
  if (type === "e") return exponential(value, precision);
  const digits = precision === 0 ? 1 : precision;
  const exponent = Number(exponential(value, digits - 1).split("e")[1]);
  if (exponent < -4 || exponent >= digits) return exponential(value, digits - 1).replace(/\.?0*e/, "e");
  const fixed = withSign(value, halfEven(Math.abs(value), digits - 1 - exponent));
  return fixed.includes(".") ? fixed.replace(/\.?0*$/, "") : fixed;
}

const withSign = (value: number, text: string): string =>
  value < 0 || Object.is(value, -0) ? `-${text}` : text;

function exponential(value: number, precision: number): string {
  const [mantissa, exponent] = value.toExponential(precision).split("e") as [string, string];
  const sign = Object.is(value, -0) ? "-" : "";
  return `${sign}${mantissa}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}

/** toFixed, with exact ties to the even digit, as Python rounds. */
function halfEven(value: number, digits: number): string {
  const text = value.toFixed(digits);
  const exact = exactDecimal(value);
  const [whole, fraction = ""] = exact.split(".") as [string, string?];
  if (!/^50*$/.test(fraction.slice(digits)) || fraction.length <= digits) return text;
  const last = (digits === 0 ? whole : fraction.slice(0, digits)).at(-1)!;
  if (Number(last) % 2 === 1) return text;
  return digits === 0 ? whole : `${whole}.${fraction.slice(0, digits)}`;
}

/** All decimal digits of a float. */
function exactDecimal(value: number): string {
  let scale = 0;
  let scaled = value;
  while (!Number.isInteger(scaled) && scale < 1100) {
    scaled *= 2;
    scale++;
  }
  const digits = (BigInt(scaled) * 5n ** BigInt(scale)).toString().padStart(scale + 1, "0");
  return scale === 0 ? digits : `${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** round(value, digits) of a float. */
export function roundFloat(value: number, digits: number): number {
  if (!Number.isFinite(value)) return value;
  if (digits < 0) {
    const unit = 10 ** -digits;
    return Number(halfEven(Math.abs(value) / unit, 0)) * unit * Math.sign(value);
  }
  if (digits > 60) return value;
  return Number(withSign(value, halfEven(Math.abs(value), digits)));
}

/** How `{0.name}` and `{0[key]}` find their value. */
export interface Lookup {
  readonly attributeOf: (value: Value, name: string) => Value;
  readonly itemOf: (value: Value, key: Value) => Value;
}

/** `format.format(…)`. */
export function formatBraces(format: string, args: Arguments, lookup: Lookup): string {
  let automatic = 0;
  const text = format.replace(/\{\{|\}\}|\{([^{}]*)\}|[{}]/g, (whole, field: string | undefined) => {
    if (whole === "{{") return "{";
    if (whole === "}}") return "}";
    if (field === undefined) throw new UnsupportedError("nested or single braces in str.format");
    const { name, path, conversion, spec } =
      /^(?<name>[^.[!:]*)(?<path>[^!:]*)(?:!(?<conversion>[rs]))?(?::(?<spec>.*))?$/s.exec(field)?.groups ??
      unsupportedField(field);
    let value = argument(name!, args, () => automatic++);
    for (const [, attribute, key] of path!.matchAll(/\.([^.[]+)|\[([^\]]+)\]/g))
      value =
        attribute === undefined
          ? lookup.itemOf(value, /^\d+$/.test(key!) ? BigInt(key!) : key!)
          : lookup.attributeOf(value, attribute);
    if (conversion === "r") value = repr(value);
    if (conversion === "s") value = str(value);
    return spec === undefined || spec === "" ? str(value) : formatSpec(value, spec);
  });
  spendText(text.length);
  return text;
}

function unsupportedField(field: string): never {
  throw new UnsupportedError(`"{${field}}" in str.format`);
}

function argument(name: string, { positional, named }: Arguments, next: () => number): Value {
  const value =
    name === "" ? positional[next()] : /^\d+$/.test(name) ? positional[Number(name)] : named.get(name);
  if (value === undefined)
    throw new RenderError(
      /^\d*$/.test(name) ? "Replacement index out of range for positional args tuple" : `'${name}'`,
    );
  return value;
}

/** format(value, spec). */
function formatSpec(value: Value, spec: string): string {
  const match =
    /^(?:(?<fill>.)?(?<align>[<>^=]))?(?<sign>[-+ ])?(?<zero>0)?(?<width>\d+)?(?<comma>,)?(?:\.(?<precision>\d+))?(?<type>[a-zA-Z%])?$/su.exec(
      spec,
    );
  if (match === null) throw new UnsupportedError(`the format "${spec}"`);
  const { fill, align, sign = "", zero, width = "0", comma, precision, type } = match.groups!;
  const isText = typeof value === "string";
  if (isText && (sign !== "" || comma !== undefined || (type ?? "s") !== "s"))
    throw new UnsupportedError(`the format "${spec}" of text`);
  if (!isText && !isNumber(value)) throw new UnsupportedError(`the format "${spec}" of a ${typeName(value)}`);
  let body = isText
    ? truncated(value, precision === undefined ? undefined : Number(precision))
    : numberSpec(numeric(value), type, precision, spec);
  if (comma !== undefined) body = body.replace(/^-?\d+/, (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ","));
  body = signed(body, sign);
  spendText(Number(width));
  const missing = Number(width) - codePoints(body);
  if (missing <= 0) return body;
  const filler = fill ?? (zero === undefined ? " " : "0");
  const side = align ?? (zero !== undefined ? "=" : isText ? "<" : ">");
  const pad = filler.repeat(missing);
  if (side === "<") return body + pad;
  if (side === ">") return pad + body;
  if (side === "^") {
    const before = Math.floor(missing / 2);
    return filler.repeat(before) + body + filler.repeat(missing - before);
  }
  const mark = /^[-+ ]/.exec(body)?.[0] ?? "";
  return mark + pad + body.slice(mark.length);
}

function numberSpec(
  value: bigint | number,
  type: string | undefined,
  precision: string | undefined,
  spec: string,
): string {
  if (typeof value === "bigint" && (type === undefined || type === "d") && precision === undefined)
    return value.toString();
  if (typeof value === "bigint" && type === "x") return value.toString(16);
  if (type === undefined && precision === undefined) return pythonFloat(Number(value));
  if (type === "%") return `${floatText(Number(value) * 100, "f", Number(precision ?? 6))}%`;
  if (type !== undefined && /[feg]/i.test(type))
    return floatText(Number(value), type, Number(precision ?? 6));
  throw new UnsupportedError(`the format "${spec}"`);
}
