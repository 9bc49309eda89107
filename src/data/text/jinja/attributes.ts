// `value.name`, `value[key]` and `value[a:b]`. A name is looked up among Python's attributes first, a key among the contents first:
// `message.items` is a dict's method, `message["items"]` what it holds.
import { bind, positional } from "./arguments.ts";
import { spend, spendText } from "./budget.ts";
import { RenderError, UnsupportedError } from "./errors.ts";
import { formatBraces } from "./format.ts";
import { stringMethods } from "./strings.ts";
import { repr } from "./text.ts";
import {
  Callable,
  Dict,
  DictView,
  equal,
  GroupTuple,
  integer,
  isBasic,
  isList,
  listOf,
  Markup,
  Namespace,
  Once,
  orElse,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Arguments,
  type Value,
} from "./values.ts";

/** `value.name`. */
export function attributeOf(value: Value, name: string): Value {
  if (value instanceof Undefined) return value.fail();
  const attribute = pythonAttribute(value, name);
  if (attribute !== undefined) return attribute;
  const content = contentOf(value, name);
  return content === undefined ? undefinedAttribute(value, name) : content;
}

/** `value[key]`. */
export function itemOf(value: Value, key: Value): Value {
  if (value instanceof Undefined) return value.fail();
  const content = contentOf(value, key);
  if (content !== undefined) return content;
  const attribute = typeof key === "string" ? pythonAttribute(value, key) : undefined;
  return attribute === undefined ? undefinedAttribute(value, key) : attribute;
}

function undefinedAttribute(value: Value, key: Value): Undefined {
  const where = value === null || value instanceof Undefined ? "'None'" : `'${typeName(value)} object'`;
  return new Undefined(`${where} has no ${typeof key === "string" ? "attribute" : "element"} ${repr(key)}`);
}

/** What a subscript finds; undefined where Python raises an error that Jinja2 takes for "not there". */
function contentOf(value: Value, key: Value): Value | undefined {
  if (value instanceof Dict) return isList(key) || key instanceof Dict ? undefined : value.get(key);
  if (value instanceof Markup) throw new UnsupportedError("a subscript of text marked as safe");
  if (typeof key !== "bigint" && typeof key !== "boolean") return undefined;
  const index = Number(key);
  if (typeof value === "string") {
    spendText(value.length);
    if (isBasic(value)) return value[index < 0 ? index + value.length : index];
    return Array.from(value).at(index);
  }
  if (isList(value)) return value.at(index);
  if (value instanceof Tuple) return value.items.at(index);
  if (value instanceof Range) {
    const at = index < 0 ? index + value.length : index;
    return at >= 0 && at < value.length ? value.at(at) : undefined;
  }
  return undefined;
}

/** `value[start:stop:step]`. */
export function slice(value: Value, start: Value, stop: Value, step: Value): Value {
  if (value instanceof Undefined) return value.fail();
  if (value instanceof Markup) throw new UnsupportedError("a slice of text marked as safe");
  if (typeof value === "string") {
    spendText(value.length);
    const letters = isBasic(value)
      ? Array.from({ length: value.length }, (_, i) => value[i]!)
      : Array.from(value);
    if (step === null || step === 1n) {
      const [from, to] = bounds(letters.length, start, stop, 1);
      return isBasic(value)
        ? value.slice(from, Math.max(from, to))
        : letters.slice(from, Math.max(from, to)).join("");
    }
    return picked(letters, start, stop, step).join("");
  }
  if (isList(value)) return picked(value, start, stop, step);
  if (value instanceof Tuple) return new Tuple(picked(value.items, start, stop, step));
  if (value instanceof Range) throw new UnsupportedError("a slice of a range");
  throw new RenderError(`'${typeName(value)}' object is not subscriptable`);
}

function bounds(length: number, start: Value, stop: Value, step: number): [number, number] {
  const [least, most] = step > 0 ? [0, length] : [-1, length - 1];
  const at = (value: Value, otherwise: number): number => {
    if (value === null) return otherwise;
    if (typeof value !== "bigint" && typeof value !== "boolean")
      throw new RenderError("slice indices must be integers or None or have an __index__ method");
    const index = integer(value, "slice indices");
    return Math.max(least, Math.min(index < 0 ? index + length : index, most));
  };
  return step > 0 ? [at(start, 0), at(stop, length)] : [at(start, length - 1), at(stop, -1)];
}

function picked<T>(items: readonly T[], start: Value, stop: Value, step: Value): T[] {
  const by = step === null ? 1 : integer(step, "slice indices");
  if (by === 0) throw new RenderError("slice step cannot be zero");
  const [from, to] = bounds(items.length, start, stop, by);
  spendText(items.length);
  const taken: T[] = [];
  for (let i = from; by > 0 ? i < to : i > to; i += by) taken.push(items[i]!);
  return taken;
}

/** "unsafe" is what would change the value: the sandbox takes it for undefined. */
type Method<T> = ((value: T, args: Arguments) => Value) | "unsafe";

/** An attribute that Python's type has, mostly a method; undefined where it has none. */
function pythonAttribute(value: Value, name: string): Value | undefined {
  if (typeof value === "string") return bound(value, name, textMethods);
  if (typeof value === "bigint" || typeof value === "boolean" || typeof value === "number")
    return numberAttributes.has(name) ? refused(value, name) : undefined;
  if (isList(value)) return bound(value, name, listMethods);
  if (value instanceof GroupTuple && name === "grouper") return value.grouper;
  if (value instanceof GroupTuple && name === "list") return value.list;
  if (value instanceof Tuple) return bound(value.items, name, tupleMethods);
  if (value instanceof Dict) return bound(value, name, dictMethods);
  if (value instanceof Namespace) return value.attributes.get(name);
  if (value instanceof Callable) return value.attributes.get(name);
  if (value instanceof Markup) throw new UnsupportedError("a method of text marked as safe");
  if (value instanceof Range || value instanceof DictView || value instanceof Once)
    return /^[a-z]/.test(name) ? refused(value, name) : undefined;
  return undefined; // nor does the sandbox show Python's own attributes (__class__)
}

function bound<T extends Value>(
  value: T,
  name: string,
  methods: ReadonlyMap<string, Method<T>>,
): Value | undefined {
  const method = methods.get(name);
  if (method === undefined) return undefined;
  if (method === "unsafe")
    return new Undefined(`access to attribute '${name}' of '${typeName(value)}' object is unsafe.`);
  const call = (args: Arguments): Value => method(value, args);
  return new Callable(name, call, { type: "builtin_function_or_method" });
}

function refused(value: Value, name: string): never {
  throw new UnsupportedError(`the attribute "${name}" of a ${typeName(value)}`);
}

const numberAttributes = new Set(
  (
    "real imag numerator denominator bit_length bit_count to_bytes from_bytes conjugate as_integer_ratio is_integer hex " +
    "fromhex"
  ).split(" "),
);

function indexIn(type: string): Method<readonly Value[]> {
  return (items, args) => {
    const [wanted, ...range] = positional("index", args, 1, 3);
    if (range.length > 0) throw new UnsupportedError(`${type}.index with a range`);
    const at = items.findIndex((item) => equal(item, wanted!));
    if (at === -1) throw new RenderError(`${repr(wanted!)} is not in ${type}`);
    return BigInt(at);
  };
}

const countIn: Method<readonly Value[]> = (items, args) => {
  const [wanted] = positional("count", args, 1);
  return BigInt(items.filter((item) => equal(item, wanted!)).length);
};

const textMethods = new Map<string, Method<string>>([
  ...stringMethods,
  ["format", (text, args) => formatBraces(text, args, { attributeOf, itemOf })],
]);

const tupleMethods = new Map<string, Method<readonly Value[]>>([
  ["count", countIn],
  ["index", indexIn("tuple")],
]);

const listMethods = new Map<string, Method<readonly Value[]>>([
  ["count", countIn],
  ["index", indexIn("list")],
  ["copy", (items) => (spend(items.length), [...items])],
  ...["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"].map(
    (name) => [name, "unsafe"] as const,
  ),
]);

/** dict.fromkeys(…) */
export function dictFromKeys(args: Arguments): Dict {
  const [keys, value = null] = bind("fromkeys", args, ["iterable", "value"], 1);
  return new Dict(listOf(keys!).map((key) => [key, value] as const));
}

const dictMethods = new Map<string, Method<Dict>>([
  [
    "get",
    (dict, args) => {
      const [key, otherwise = null] = positional("get", args, 1, 2);
      return orElse(dict.get(key!), otherwise);
    },
  ],
  ["keys", (dict, args) => (positional("keys", args, 0), new DictView("dict_keys", dict.keys()))],
  ["values", (dict, args) => (positional("values", args, 0), new DictView("dict_values", dict.values()))],
  [
    "items",
    (dict, args) => (
      positional("items", args, 0),
      new DictView(
        "dict_items",
        dict.entries().map((entry) => new Tuple(entry)),
      )
    ),
  ],
  ["copy", (dict, args) => (positional("copy", args, 0), new Dict(dict.entries()))],
  ["fromkeys", (_dict, args) => dictFromKeys(args)],
  ...["clear", "pop", "popitem", "setdefault", "update"].map((name) => [name, "unsafe"] as const),
]);
