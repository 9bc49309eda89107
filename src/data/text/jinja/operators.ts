// Python's arithmetic and containment.
import type { BinaryOperator, ComparisonOperator } from "./ast.ts";
import { elementLength, spend, spendText } from "./budget.ts";
import { RenderError, RenderLimitError, UnsupportedError } from "./errors.ts";
import { formatPercent } from "./format.ts";
import {
  compare,
  Dict,
  equal,
  isList,
  isNumber,
  iterateOrNone,
  Markup,
  numeric,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** Ints beyond it are nobody's data, and each operation with one takes long. */
const maxIntBits = 4096;

/** `left operator right`. */
export function binary(operator: BinaryOperator, left: Value, right: Value): Value {
  spend();
  if (left instanceof Markup || right instanceof Markup) return safeAdded(operator, left, right);
  if (operator === "%" && typeof left === "string") return formatPercent(left, right);
  if (left instanceof Undefined) left.fail();
  if (right instanceof Undefined) right.fail();
  if (isNumber(left) && isNumber(right)) return arithmetic(operator, numeric(left), numeric(right));
  if (operator === "+") return added(left, right);
  if (operator === "*") {
    if (isCount(right)) return repeated(left, Number(right));
    if (isCount(left)) return repeated(right, Number(left));
  }
  return unsupported(operator, left, right);
}

const isCount = (value: Value): value is bigint | boolean =>
  typeof value === "bigint" || typeof value === "boolean";

/** Text that is added to text marked as safe is escaped: markupsafe's Markup. */
function safeAdded(operator: BinaryOperator, left: Value, right: Value): Value {
  const escaped = [left, right].map((part) =>
    part instanceof Markup ? part.text : typeof part === "string" ? escapeHtml(part) : undefined,
  );
  if (operator === "+" && escaped.includes(undefined)) return unsupported(operator, left, right);
  if (operator !== "+")
    throw new UnsupportedError(`"${operator}" of text marked as safe and a ${typeName(right)}`);
  const text = escaped.join("");
  spendText(text.length);
  return new Markup(text);
}

const htmlEscapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "'": "&#39;",
  '"': "&#34;",
};
const escapeHtml = (text: string): string => text.replace(/[&<>'"]/g, (c) => htmlEscapes[c]!);

function unsupported(operator: string, left: Value, right: Value): never {
  throw new RenderError(
    `unsupported operand type(s) for ${operator}: '${typeName(left)}' and '${typeName(right)}'`,
  );
}

function added(left: Value, right: Value): Value {
  if (typeof left === "string") {
    if (typeof right !== "string")
      throw new RenderError(`can only concatenate str (not "${typeName(right)}") to str`);
    spendText(left.length + right.length);
    return left + right;
  }
  if (isList(left)) {
    if (!isList(right)) throw new RenderError(`can only concatenate list (not "${typeName(right)}") to list`);
    spendText(left.length + right.length);
    return [...left, ...right];
  }
  if (left instanceof Tuple && right instanceof Tuple) {
    spendText(left.items.length + right.items.length);
    return new Tuple([...left.items, ...right.items]);
  }
  return unsupported("+", left, right);
}

function repeated(value: Value, times: number): Value {
  const count = Math.max(0, times);
  if (typeof value === "string") {
    spendText(value.length * count);
    return value.repeat(count);
  }
  const items = isList(value) ? value : value instanceof Tuple ? value.items : undefined;
  if (items === undefined)
    throw new RenderError(`can't multiply sequence by non-int of type '${typeName(value)}'`);
  spendText(items.length * count * elementLength);
  const all = Array.from({ length: count }, () => items).flat();
  return isList(value) ? all : new Tuple(all);
}

function arithmetic(operator: BinaryOperator, a: bigint | number, b: bigint | number): Value {
  if (operator !== "/" && typeof a === "bigint" && typeof b === "bigint") return ints(operator, a, b);
  const [x, y] = [Number(a), Number(b)];
  switch (operator) {
    case "+":
      return x + y;
    case "-":
      return x - y;
    case "*":
      return x * y;
    case "/":
      if (y === 0) throw new RenderError("division by zero");
      return x / y;
    case "//":
      if (y === 0) throw new RenderError("division by zero");
      return (x - floatModulo(x, y)) / y;
    case "%":
      if (y === 0) throw new RenderError("modulo by zero");
      return floatModulo(x, y);
    case "**":
      if (x === 0 && y < 0) throw new RenderError("0.0 cannot be raised to a negative power");
      if (x < 0 && !Number.isInteger(y)) throw new UnsupportedError("a complex number");
      return x ** y;
  }
}

/** With the sign of the divisor. */
function floatModulo(x: number, y: number): number {
  const rest = x % y;
  if (rest === 0) return y < 0 ? -0 : 0;
  return rest < 0 !== y < 0 ? rest + y : rest;
}

function ints(operator: Exclude<BinaryOperator, "/">, a: bigint, b: bigint): Value {
  switch (operator) {
    case "+":
      return checked(a + b);
    case "-":
      return checked(a - b);
    case "*":
      return checked(a * b);
    case "//":
      return (a - intModulo(a, b)) / b;
    case "%":
      return intModulo(a, b);
    case "**":
      if (b < 0n) return arithmetic("**", Number(a), Number(b));
      if (bits(a) * Number(b) > maxIntBits) return checked(1n << BigInt(maxIntBits + 1));
      return checked(a ** b);
  }
}

function intModulo(a: bigint, b: bigint): bigint {
  if (b === 0n) throw new RenderError("integer division or modulo by zero");
  const rest = a % b;
  return rest !== 0n && rest < 0n !== b < 0n ? rest + b : rest;
}

const bits = (value: bigint): number => (value < 0n ? -value : value).toString(16).length * 4;

function checked(value: bigint): bigint {
  if (value > -(2n ** 62n) && value < 2n ** 62n) return value;
  if (bits(value) > maxIntBits)
    throw new RenderLimitError(`it makes integers of more than ${maxIntBits} bits`);
  return value;
}

/** `left operator right`, a comparison or containment. */
export function compares(operator: ComparisonOperator, left: Value, right: Value): boolean {
  switch (operator) {
    case "==":
      return equal(left, right);
    case "!=":
      return !equal(left, right);
    case "<":
      return compare(left, right, operator) < 0;
    case "<=":
      return compare(left, right, operator) <= 0;
    case ">":
      return compare(left, right, operator) > 0;
    case ">=":
      return compare(left, right, operator) >= 0;
    case "in":
      return contains(right, left);
    case "not in":
      return !contains(right, left);
  }
}

/** `value in container`. */
export function contains(container: Value, value: Value): boolean {
  if (typeof container === "string") {
    const part = value instanceof Markup ? value.text : value;
    if (typeof part !== "string")
      throw new RenderError(`'in <string>' requires string as left operand, not ${typeName(value)}`);
    spend(container.length / 256);
    return container.includes(part);
  }
  if (container instanceof Markup) return contains(container.text, value);
  if (container instanceof Dict) return container.has(value);
  const iterator = iterateOrNone(container);
  if (iterator === undefined)
    throw new RenderError(`argument of type '${typeName(container)}' is not iterable`);
  for (let next = iterator.next(); next.done !== true; next = iterator.next())
    if (equal(next.value, value)) return true;
  return false;
}

/** `-value`. */
export function negative(value: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) throw new RenderError(`bad operand type for unary -: '${typeName(value)}'`);
  const number = numeric(value);
  return -number;
}

/** `+value`. */
export function positive(value: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) throw new RenderError(`bad operand type for unary +: '${typeName(value)}'`);
  return numeric(value);
}
