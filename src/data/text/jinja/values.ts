// Python's values as JavaScript's: None null, bool boolean, int bigint, float number, str string, list array; the others are the
// classes below. Nothing here changes a value: Transformers' sandbox forbids templates to.
import { isRecord } from "../../types.ts";
import { isFloat } from "../../values.ts";
import { spend, spendText } from "./budget.ts";
import { RenderError, UnsupportedError } from "./errors.ts";

export type Value = null | boolean | bigint | number | string | readonly Value[] | PyObject;

/** A value that has no JavaScript type of its own. */
export abstract class PyObject {
  /** Python's name of its type, as error messages have it. */
  abstract readonly type: string;
}

export class Undefined extends PyObject {
  override readonly type = "Undefined";
  readonly #why: string;
  constructor(why: string) {
    super();
    this.#why = why;
  }
  /** Python's UndefinedError, for whatever can't be done with it. */
  fail(): never {
    throw new RenderError(this.#why);
  }
}

export class Tuple extends PyObject {
  override readonly type = "tuple";
  readonly items: readonly Value[];
  constructor(items: readonly Value[]) {
    super();
    this.items = items;
  }
}

/** What groupby gives: a named tuple. */
export class GroupTuple extends Tuple {
  readonly grouper: Value;
  readonly list: readonly Value[];
  constructor(grouper: Value, list: readonly Value[]) {
    super([grouper, list]);
    this.grouper = grouper;
    this.list = list;
  }
}

/** A dict: keys in the order in which they came, numbers equal to each other whatever their type. */
export class Dict extends PyObject {
  override readonly type: string = "dict";
  readonly #entries = new Map<unknown, [Value, Value]>();
  constructor(entries: Iterable<readonly [Value, Value]> = []) {
    super();
    for (const [key, value] of entries) this.put(key, value);
  }
  /** For who builds it; templates can't. */
  put(key: Value, value: Value): void {
    spend();
    const hashed = hashOf(key);
    const known = this.#entries.get(hashed);
    if (known === undefined) this.#entries.set(hashed, [key, value]);
    else known[1] = value;
  }
  get(key: Value): Value | undefined {
    return this.#entries.get(hashOf(key))?.[1];
  }
  has(key: Value): boolean {
    return this.#entries.has(hashOf(key));
  }
  get size(): number {
    return this.#entries.size;
  }
  keys(): Value[] {
    spend(this.size);
    return Array.from(this.#entries.values(), ([key]) => key);
  }
  values(): Value[] {
    spend(this.size);
    return Array.from(this.#entries.values(), ([, value]) => value);
  }
  entries(): [Value, Value][] {
    spend(this.size);
    return [...this.#entries.values()];
  }
}

/** What `dict.keys()`, `values()` and `items()` give: can be iterated again and measured, not indexed. */
export class DictView extends PyObject {
  override readonly type: "dict_keys" | "dict_values" | "dict_items";
  readonly items: readonly Value[];
  constructor(type: DictView["type"], items: readonly Value[]) {
    super();
    this.type = type;
    this.items = items;
  }
}

export class Range extends PyObject {
  override readonly type = "range";
  readonly start: number;
  readonly stop: number;
  readonly step: number;
  constructor(start: number, stop: number, step: number) {
    super();
    this.start = start;
    this.stop = stop;
    this.step = step;
  }
  get length(): number {
    return Math.max(0, Math.ceil((this.stop - this.start) / this.step));
  }
  at(index: number): bigint {
    return BigInt(this.start + index * this.step);
  }
}

/** A generator or an iterator: gives its values once. */
export class Once extends PyObject {
  override readonly type: string;
  readonly iterator: Iterator<Value, unknown>;
  constructor(iterator: Iterator<Value, unknown>, type = "generator") {
    super();
    this.type = type;
    this.iterator = iterator;
  }
}

/** The one thing that templates can write to. */
export class Namespace extends PyObject {
  override readonly type = "Namespace";
  readonly attributes = new Map<string, Value>();
  set(name: string, value: Value): void {
    if (name.startsWith("_"))
      throw new RenderError(
        `Chat templates cannot store underscore-prefixed attributes on a namespace: '${name}'`,
      );
    this.attributes.set(name, value);
  }
}

/** What `safe` makes of text. Printed it is that text; where the two differ (it escapes what is added to it) it is refused. */
export class Markup extends PyObject {
  override readonly type = "Markup";
  readonly text: string;
  constructor(text: string) {
    super();
    this.text = text;
  }
}

/** Positional and keyword arguments of a call. */
export interface Arguments {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
}

export class Callable extends PyObject {
  override readonly type: string;
  readonly name: string;
  readonly call: (args: Arguments) => Value;
  /** What can be read from it (a macro has a name). */
  readonly attributes: ReadonlyMap<string, Value>;
  constructor(
    name: string,
    call: (args: Arguments) => Value,
    options: { type?: string; attributes?: ReadonlyMap<string, Value> } = {},
  ) {
    super();
    this.name = name;
    this.call = call;
    this.type = options.type ?? "function";
    this.attributes = options.attributes ?? new Map<string, Value>();
  }
}

/** Equal keys have equal hashes; a Map compares them. */
function hashOf(key: Value): unknown {
  if (typeof key === "boolean") return key ? 1n : 0n;
  if (typeof key === "number") return Number.isInteger(key) ? BigInt(key) : key;
  if (Array.isArray(key) || key instanceof Dict) throw new RenderError(`unhashable type: '${typeName(key)}'`);
  if (typeof key === "string") spendText(key.length);
  if (!(key instanceof Tuple)) return key;
  const items = JSON.stringify(key.items.map((item) => [typeof item, String(hashOf(item))]));
  spendText(items.length); // escapes within escapes
  return `\u0000tuple ${items}`;
}

/** A value as a key of a JavaScript Map, where equal values are one key. */
export const keyOf = hashOf;

/** `value`, or `otherwise` where there is none. (`??` would take None for nothing.) */
export function orElse<T>(value: Value | undefined, otherwise: T): Value | T {
  return value === undefined ? otherwise : value;
}

/** What Python calls the type of a value. */
export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  switch (typeof value) {
    case "boolean":
      return "bool";
    case "bigint":
      return "int";
    case "number":
      return "float";
    case "string":
      return "str";
    default:
      return isList(value) ? "list" : value.type;
  }
}

export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

/** bool(value). */
export function truthy(value: Value): boolean {
  if (value === null) return false;
  switch (typeof value) {
    case "boolean":
      return value;
    case "bigint":
      return value !== 0n;
    case "number":
      return value !== 0;
    case "string":
      return value !== "";
    default:
      if (value instanceof Undefined) return false;
      return (lengthOrNone(value) ?? 1) > 0;
  }
}

/** Number of characters as Python counts them: code points. */
export function codePoints(text: string): number {
  spendText(text.length);
  let surrogates = 0;
  for (let i = 0; i < text.length - 1; i++) if (isPairAt(text, i)) surrogates++;
  return text.length - surrogates;
}

function isPairAt(text: string, i: number): boolean {
  const first = text.charCodeAt(i);
  if (first < 0xd800 || first > 0xdbff) return false;
  const second = text.charCodeAt(i + 1);
  return second >= 0xdc00 && second <= 0xdfff;
}

/** Whether positions in JavaScript's strings are Python's too. */
export function isBasic(text: string): boolean {
  return !/[\ud800-\udbff]/.test(text);
}

/** len(value), or undefined for what has none. */
export function lengthOrNone(value: Value): number | undefined {
  if (typeof value === "string") return codePoints(value);
  if (value instanceof Markup) return codePoints(value.text);
  if (isList(value)) return value.length;
  if (value instanceof Tuple || value instanceof DictView) return value.items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof Range) return value.length;
  if (value instanceof Undefined) return 0;
  return undefined;
}

export function lengthOf(value: Value): number {
  const length = lengthOrNone(value);
  if (length === undefined) throw new RenderError(`object of type '${typeName(value)}' has no len()`);
  return length;
}

/** iter(value), or undefined for what can't be iterated. */
export function iterateOrNone(value: Value): Iterator<Value, unknown> | undefined {
  if (typeof value === "string") return value[Symbol.iterator]();
  if (isList(value)) return value[Symbol.iterator]();
  if (value instanceof Tuple || value instanceof DictView) return value.items[Symbol.iterator]();
  if (value instanceof Dict) return value.keys()[Symbol.iterator]();
  if (value instanceof Range) return numbersOf(value);
  if (value instanceof Once) return value.iterator;
  if (value instanceof Undefined) return [][Symbol.iterator]();
  if (value instanceof Markup) throw new UnsupportedError("a loop over text marked as safe");
  return undefined;
}

function* numbersOf(range: Range): Generator<Value> {
  for (let i = 0; i < range.length; i++) yield range.at(i);
}

export function iterate(value: Value): Iterator<Value, unknown> {
  const iterator = iterateOrNone(value);
  if (iterator === undefined) throw new RenderError(`'${typeName(value)}' object is not iterable`);
  return iterator;
}

/** list(value). */
export function listOf(value: Value): Value[] {
  const iterator = iterate(value);
  const list: Value[] = [];
  for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
    spend();
    list.push(next.value);
  }
  return list;
}

export type PyNumber = boolean | bigint | number;

export function isNumber(value: Value): value is PyNumber {
  return typeof value === "boolean" || typeof value === "bigint" || typeof value === "number";
}

/** True as 1. */
export function numeric(value: PyNumber): bigint | number {
  return typeof value === "boolean" ? (value ? 1n : 0n) : value;
}

/** An int argument as a JavaScript number. */
export function integer(value: Value, what: string): number {
  if (typeof value === "bigint" || typeof value === "boolean") return Number(value);
  throw new RenderError(`${what}: '${typeName(value)}' object cannot be interpreted as an integer`);
}

/** `a == b`. */
export function equal(a: Value, b: Value): boolean {
  spend();
  if (typeof a !== "string" && a === b) return !(typeof a === "number" && Number.isNaN(a));
  if (isNumber(a) && isNumber(b)) return numeric(a) == numeric(b); // oxlint-disable-line eqeqeq -- int and float
  const [left, right] = [plain(a), plain(b)];
  if (typeof left === "string" || typeof right === "string") {
    if (typeof left !== "string" || typeof right !== "string" || left.length !== right.length) return false;
    spendText(left.length);
    return left === right;
  }
  if (isList(a) && isList(b)) return sameItems(a, b);
  if (a instanceof Tuple && b instanceof Tuple) return sameItems(a.items, b.items);
  if (a instanceof Dict && b instanceof Dict)
    return (
      a.size === b.size &&
      a.entries().every(([key, value]) => {
        const other = b.get(key);
        return other !== undefined && equal(value, other);
      })
    );
  if (a instanceof Range && b instanceof Range) return sameItems(listOf(a), listOf(b));
  if (a instanceof DictView && b instanceof DictView)
    throw new UnsupportedError("a comparison of dict views");
  return a instanceof Undefined && b instanceof Undefined;
}

function sameItems(a: readonly Value[], b: readonly Value[]): boolean {
  return a.length === b.length && a.every((item, i) => equal(item, b[i]!));
}

const plain = (value: Value): Value => (value instanceof Markup ? value.text : value);

/** Below, at or above 0 as `a` is less than, equal to or greater than `b`; NaN where neither. @param operator for the error */
export function compare(a: Value, b: Value, operator = "<"): number {
  spend();
  if (isNumber(a) && isNumber(b)) {
    const [x, y] = [numeric(a), numeric(b)];
    return x < y ? -1 : x > y ? 1 : x == y ? 0 : Number.NaN; // oxlint-disable-line eqeqeq -- int and float
  }
  if (typeof a === "string" && typeof b === "string") return compareText(a, b);
  if (isList(a) && isList(b)) return compareItems(a, b, operator);
  if (a instanceof Tuple && b instanceof Tuple) return compareItems(a.items, b.items, operator);
  for (const value of [a, b]) if (value instanceof Undefined) value.fail();
  if (a instanceof Markup || b instanceof Markup)
    throw new UnsupportedError("an ordering of text marked as safe");
  throw new RenderError(
    `'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`,
  );
}

function compareItems(a: readonly Value[], b: readonly Value[], operator: string): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++)
    if (!equal(a[i]!, b[i]!)) return compare(a[i]!, b[i]!, operator);
  return a.length - b.length;
}

/** By code points, as Python does; JavaScript's own order is by UTF-16 units. */
function compareText(a: string, b: string): number {
  spendText(a.length);
  spendText(b.length);
  if (a === b) return 0;
  if (isBasic(a) && isBasic(b)) return a < b ? -1 : 1;
  const [x, y] = [Array.from(a, (c) => c.codePointAt(0)!), Array.from(b, (c) => c.codePointAt(0)!)];
  for (let i = 0; i < Math.min(x.length, y.length); i++) if (x[i] !== y[i]) return x[i]! - y[i]!;
  return x.length - y.length;
}

/** sorted(values, key=…), stable also when reversed. */
export function sorted(values: readonly Value[], key: (value: Value) => Value, reverse = false): Value[] {
  const keyed = values.map((value) => ({ value, key: key(value) }));
  keyed.sort((a, b) => (reverse ? compare(b.key, a.key) : compare(a.key, b.key)));
  return keyed.map(({ value }) => value);
}

/** The Python value of what a row has (values.ts says how it tells ints from floats). */
export function fromJson(value: unknown): Value {
  spend();
  if (value === null || value === undefined) return null;
  switch (typeof value) {
    case "string":
    case "boolean":
    case "bigint":
      return value;
    case "number":
      return Number.isSafeInteger(value) ? BigInt(value) : value;
    default:
  }
  if (value instanceof PyObject) return value;
  if (isFloat(value)) return Number(value);
  if (Array.isArray(value)) return value.map(fromJson);
  if (value instanceof Map)
    return new Dict(Array.from(value, ([key, entry]) => [fromJson(key), fromJson(entry)] as const));
  if (isRecord(value))
    return new Dict(
      Object.entries(value)
        .filter(([, entry]) => entry !== undefined)
        .map(([key, entry]) => [key, fromJson(entry)] as const),
    );
  throw new UnsupportedError(`a value of type ${typeof value}`);
}
