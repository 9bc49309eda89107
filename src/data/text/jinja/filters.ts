// Jinja2's filters, with Transformers' tojson. A filter that is left out is named in `unsupportedFilters`: a template that uses it is
// refused when it is read.
import { bind } from "./arguments.ts";
import { attributeOf, itemOf } from "./attributes.ts";
import { elementLength, spend, spendText } from "./budget.ts";
import { RenderError, UnsupportedError } from "./errors.ts";
import { formatPercent, roundFloat } from "./format.ts";
import { pythonSpace } from "./lexer.ts";
import { binary } from "./operators.ts";
import { capitalize, center, replaced, splitLines, strip } from "./strings.ts";
import { jsonDumps, str } from "./text.ts";
import { tests } from "./tests.ts";
import {
  codePoints,
  compare,
  Dict,
  equal,
  GroupTuple,
  integer,
  isList,
  isNumber,
  iterate,
  keyOf,
  lengthOf,
  listOf,
  Markup,
  numeric,
  Once,
  orElse,
  sorted,
  truthy,
  Tuple,
  typeName,
  Undefined,
  type Arguments,
  type Value,
} from "./values.ts";

type Filter = (value: Value, args: Arguments) => Value;

/** Filters of Jinja2 that aren't implemented: they make HTML, or what no two runs agree on. */
export const unsupportedFilters: ReadonlySet<string> = new Set(
  "e escape filesizeformat forceescape pprint random striptags urlencode urlize wordwrap xmlattr".split(" "),
);

/** Calls a filter by its name. */
export function applyFilter(name: string, value: Value, args: Arguments): Value {
  spend();
  const filter = filters.get(name);
  if (filter !== undefined) return filter(value, args);
  if (unsupportedFilters.has(name)) throw new UnsupportedError(`the filter "${name}"`);
  throw new RenderError(`No filter named '${name}'.`);
}

/** Calls a test by its name. */
export function applyTest(name: string, value: Value, args: Arguments): boolean {
  spend();
  const test = tests.get(name);
  if (test === undefined) throw new RenderError(`No test named '${name}'.`);
  return test(value, args);
}

/** A filter of the text of its value. */
const ofText =
  (change: (text: string) => Value): Filter =>
  (value, args) => {
    bind("filter", args, []);
    const text = str(value);
    spendText(text.length);
    return change(text);
  };

/** By an attribute path such as "function.name" or 0. */
function getter(attribute: Value, otherwise: Value = null): (item: Value) => Value {
  const parts: Value[] =
    attribute === null
      ? []
      : typeof attribute === "string"
        ? attribute.split(".").map((part) => (/^\d+$/.test(part) ? BigInt(part) : part))
        : [attribute];
  return (item) => {
    for (const part of parts) {
      item = itemOf(item, part);
      if (otherwise !== null && item instanceof Undefined) item = otherwise;
    }
    return item;
  };
}

const lowerCase = (text: string): string => {
  spendText(text.length);
  return text.toLowerCase();
};
const ignoreCase = (value: Value): Value => (typeof value === "string" ? lowerCase(value) : value);

function generator(make: () => Generator<Value>): Once {
  return new Once(make());
}

/** map, select, reject and their kin pass by what is false (none as well as empty). */
function* each(value: Value): Generator<Value> {
  if (!truthy(value)) return;
  const iterator = iterate(value);
  for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
    spend();
    yield next.value;
  }
}

const map: Filter = (value, args) =>
  generator(function* () {
    let change: ((item: Value) => Value) | undefined;
    for (const item of each(value)) {
      change ??= mapping(args);
      yield change(item);
    }
  });

function mapping({ positional, named }: Arguments): (item: Value) => Value {
  const attribute = named.get("attribute");
  if (positional.length === 0 && attribute !== undefined) {
    for (const key of named.keys())
      if (key !== "attribute" && key !== "default")
        throw new RenderError(`Unexpected keyword argument '${key}'`);
    return getter(attribute, named.get("default") ?? null);
  }
  const [name, ...rest] = positional;
  if (name === undefined) throw new RenderError("map requires a filter argument");
  return (item) => applyFilter(str(name), item, { positional: rest, named });
}

function selecting(byAttribute: boolean, wanted: boolean): Filter {
  return (value, { positional, named }) =>
    generator(function* () {
      const [attribute, rest] = byAttribute ? [positional[0], positional.slice(1)] : [null, positional];
      if (attribute === undefined) throw new RenderError("Missing parameter for attribute name");
      const get = getter(attribute);
      const [test, ...others] = rest;
      for (const item of each(value)) {
        const found = get(item);
        const holds =
          test === undefined ? truthy(found) : applyTest(str(test), found, { positional: others, named });
        if (holds === wanted) yield item;
      }
    });
}

const defaultFilter: Filter = (value, args) => {
  const [otherwise = "", alsoFalse = false] = bind("default", args, ["default_value", "boolean"]);
  return value instanceof Undefined || (truthy(alsoFalse) && !truthy(value)) ? otherwise : value;
};

const length: Filter = (value, args) => {
  bind("length", args, []);
  return BigInt(lengthOf(value));
};

const extreme =
  (sign: 1 | -1): Filter =>
  (value, args) => {
    const [caseSensitive = false, attribute = null] = bind("min", args, ["case_sensitive", "attribute"]);
    const get = getter(attribute);
    const key = (item: Value): Value => (truthy(caseSensitive) ? get(item) : ignoreCase(get(item)));
    const items = listOf(value);
    if (items.length === 0) return new Undefined("No aggregated item, sequence was empty.");
    return items.reduce((best, item) => (compare(key(item), key(best)) * sign < 0 ? item : best));
  };

const toJson: Filter = (value, args) => {
  const [ensureAscii = false, indent = null, separators = null, sortKeys = false] = bind("tojson", args, [
    "ensure_ascii",
    "indent",
    "separators",
    "sort_keys",
  ]);
  const level =
    indent === null ? undefined : typeof indent === "string" ? indent : spaces(integer(indent, "indent"));
  const [item, key] =
    separators === null ? [level === undefined ? ", " : ",", ": "] : listOf(separators).map(str);
  if (item === undefined || key === undefined)
    throw new RenderError("not enough values to unpack (expected 2)");
  return jsonDumps(value, {
    ensureAscii: truthy(ensureAscii),
    indent: level,
    separators: [item, key],
    sortKeys: truthy(sortKeys),
  });
};

function spaces(count: number): string {
  spendText(count);
  return " ".repeat(Math.max(0, count));
}

const indent: Filter = (value, args) => {
  const [width = 4n, first = false, blank = false] = bind("indent", args, ["width", "first", "blank"]);
  if (typeof value !== "string") {
    if (value instanceof Markup) throw new UnsupportedError("indent of text marked as safe");
    return binary("+", value, "\n");
  }
  const indention = typeof width === "string" ? width : spaces(integer(width, "indent"));
  const lines = splitLines(`${value}\n`);
  spendText(value.length + lines.length * indention.length);
  const rest = lines.slice(1).map((line) => (line !== "" || truthy(blank) ? indention + line : line));
  const text = [lines[0]!, ...rest].join("\n");
  return truthy(first) ? indention + text : text;
};

const intFilter: Filter = (value, args) => {
  const [otherwise = 0n, base = 10n] = bind("int", args, ["default", "base"]);
  if (typeof value === "string") {
    if (base !== 10n) throw new UnsupportedError("int with another base");
    const digits = asciiDigits(value);
    if (/^[-+]?\d+$/.test(digits)) {
      spendText(digits.length * 16);
      if (digits.length > 4300) return otherwise;
      return BigInt(digits.replace(/^\+/, ""));
    }
    const number = parseFloatLike(value);
    return number === undefined || !Number.isFinite(number) ? otherwise : BigInt(Math.trunc(number));
  }
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) return otherwise;
  const number = numeric(value);
  if (typeof number === "bigint") return number;
  return Number.isFinite(number) ? BigInt(Math.trunc(number)) : otherwise;
};

/** Number text as Python reads it: any script's digits, underscores between them, space around. */
function asciiDigits(text: string): string {
  spendText(text.length);
  const digits = strip(text).replace(/\p{Nd}/gu, (c) => String(digitValue(c.codePointAt(0)!)));
  return digits.replace(/(\d)_(?=\d)/g, "$1");
}

/** Unicode keeps the ten digits of a script together. */
function digitValue(code: number): number {
  let first = code;
  while (first > 0 && /\p{Nd}/u.test(String.fromCodePoint(first - 1))) first--;
  return (code - first) % 10;
}

function parseFloatLike(text: string): number | undefined {
  const digits = asciiDigits(text).toLowerCase();
  if (/^[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?$/.test(digits)) return Number(digits);
  const word = /^([-+]?)(nan|inf|infinity)$/.exec(digits);
  if (word === null) return undefined;
  return word[2] === "nan" ? Number.NaN : word[1] === "-" ? -Infinity : Infinity;
}

const floatFilter: Filter = (value, args) => {
  const [otherwise = 0] = bind("float", args, ["default"]);
  if (typeof value === "string") return parseFloatLike(value) ?? otherwise;
  if (value instanceof Undefined) value.fail();
  return isNumber(value) ? Number(numeric(value)) : otherwise;
};

const round: Filter = (value, args) => {
  const [precision = 0n, method = "common"] = bind("round", args, ["precision", "method"]);
  if (method !== "common" && method !== "ceil" && method !== "floor")
    throw new RenderError("method must be common, ceil or floor");
  if (!isNumber(value)) throw new RenderError(`type ${typeName(value)} doesn't define __round__ method`);
  const number = numeric(value);
  const digits = integer(precision, "round");
  if (method === "common") {
    if (typeof number === "number") return roundFloat(number, digits);
    if (digits >= 0) return number;
    throw new UnsupportedError("round of an int to tens");
  }
  const unit = 10 ** digits;
  return Math[method](Number(number) * unit) / unit;
};

const join: Filter = (value, args) => {
  const [separator = "", attribute = null] = bind("join", args, ["d", "attribute"]);
  const get = getter(attribute);
  const parts = listOf(value).map((item) => str(get(item)));
  const between = str(separator);
  spendText(parts.reduce((sum, part) => sum + part.length + between.length, 0));
  return parts.join(between);
};

const sort: Filter = (value, args) => {
  const [reverse = false, caseSensitive = false, attribute = null] = bind("sort", args, [
    "reverse",
    "case_sensitive",
    "attribute",
  ]);
  const getters = (typeof attribute === "string" ? attribute.split(",") : [attribute]).map((path) =>
    getter(path),
  );
  const key = (item: Value): Value =>
    getters.map((get) => (truthy(caseSensitive) ? get(item) : ignoreCase(get(item))));
  return sorted(listOf(value), key, truthy(reverse));
};

const dictSort: Filter = (value, args) => {
  const [caseSensitive = false, by = "key", reverse = false] = bind("dictsort", args, [
    "case_sensitive",
    "by",
    "reverse",
  ]);
  if (by !== "key" && by !== "value") throw new RenderError('You can only sort by either "key" or "value"');
  if (!(value instanceof Dict)) throw new RenderError(`'${typeName(value)}' object has no attribute 'items'`);
  const key = (item: Value): Value => {
    const part = (item as Tuple).items[by === "key" ? 0 : 1]!;
    return truthy(caseSensitive) ? part : ignoreCase(part);
  };
  return sorted(
    value.entries().map((entry) => new Tuple(entry)),
    key,
    truthy(reverse),
  );
};

const unique: Filter = (value, args) => {
  const [caseSensitive = false, attribute = null] = bind("unique", args, ["case_sensitive", "attribute"]);
  const get = getter(attribute);
  return generator(function* () {
    const seen = new Set<unknown>();
    for (const item of listOf(value)) {
      const key = keyOf(truthy(caseSensitive) ? get(item) : ignoreCase(get(item)));
      if (seen.has(key)) continue;
      seen.add(key);
      yield item;
    }
  });
};

const groupBy: Filter = (value, args) => {
  const [attribute, otherwise = null, caseSensitive = false] = bind(
    "groupby",
    args,
    ["attribute", "default", "case_sensitive"],
    1,
  );
  const get = getter(attribute!, otherwise);
  const key = (item: Value): Value => (truthy(caseSensitive) ? get(item) : ignoreCase(get(item)));
  const groups: Value[][] = [];
  for (const item of sorted(listOf(value), key)) {
    const last = groups.at(-1);
    if (last !== undefined && equal(key(last[0]!), key(item))) last.push(item);
    else groups.push([item]);
  }
  return groups.map((items) => new GroupTuple(get(items[0]!), items));
};

const batch: Filter = (value, args) => {
  const [size, fill = null] = bind("batch", args, ["linecount", "fill_with"], 1);
  const count = integer(size!, "batch");
  return generator(function* () {
    let row: Value[] = [];
    for (const item of listOf(value)) {
      if (row.length === count) {
        yield row;
        row = [];
      }
      row.push(item);
    }
    if (row.length === 0) return;
    if (fill !== null) {
      spendText((count - row.length) * elementLength);
      while (row.length < count) row.push(fill);
    }
    yield row;
  });
};

const sliceFilter: Filter = (value, args) => {
  const [slices, fill = null] = bind("slice", args, ["slices", "fill_with"], 1);
  const count = integer(slices!, "slice");
  return generator(function* () {
    const items = listOf(value);
    if (count === 0) throw new RenderError("integer division or modulo by zero");
    const [each, extra] = [Math.floor(items.length / count), items.length % count];
    let from = 0;
    for (let i = 0; i < count; i++) {
      spend();
      const to = from + each + (i < extra ? 1 : 0);
      const part = items.slice(from, to);
      if (fill !== null && i >= extra) part.push(fill);
      from = to;
      yield part;
    }
  });
};

const sum: Filter = (value, args) => {
  const [attribute = null, start = 0n] = bind("sum", args, ["attribute", "start"]);
  const get = getter(attribute);
  return listOf(value).reduce((total, item) => binary("+", total, get(item)), start);
};

const truncate: Filter = (value, args) => {
  const [length = 255n, killWords = false, end = "...", leeway = 5n] = bind("truncate", args, [
    "length",
    "killwords",
    "end",
    "leeway",
  ]);
  if (typeof value !== "string" || typeof end !== "string")
    throw new UnsupportedError("truncate of what isn't text");
  const most = integer(length, "truncate");
  if (most < codePoints(end)) throw new RenderError(`expected length >= ${codePoints(end)}, got ${most}`);
  if (codePoints(value) <= most + integer(leeway, "truncate")) return value;
  const head = Array.from(value)
    .slice(0, most - codePoints(end))
    .join("");
  if (truthy(killWords)) return head + end;
  const cut = head.lastIndexOf(" ");
  return (cut === -1 ? head : head.slice(0, cut)) + end;
};

const wordBeginning = new RegExp(`([-({\\[<${pythonSpace}]+)`);
const title = (text: string): string =>
  text
    .split(wordBeginning)
    .filter((part) => part !== "")
    .map((part) => {
      const [first = "", ...rest] = Array.from(part);
      return first.toUpperCase() + rest.join("").toLowerCase();
    })
    .join("");

const reverse: Filter = (value, args) => {
  bind("reverse", args, []);
  if (typeof value === "string") {
    spend(value.length);
    return Array.from(value).reverse().join("");
  }
  if (value instanceof Dict)
    return new Once(value.keys().reverse()[Symbol.iterator](), "dict_reversekeyiterator");
  const type = isList(value) ? "list_reverseiterator" : "reversed";
  return new Once(listOf(value).reverse()[Symbol.iterator](), type);
};

const first: Filter = (value, args) => {
  bind("first", args, []);
  const next = iterate(value).next();
  return next.done === true ? new Undefined("No first item, sequence was empty.") : next.value;
};

const last: Filter = (value, args) => {
  bind("last", args, []);
  if (value instanceof Once) throw new RenderError(`'${value.type}' object is not reversible`);
  return orElse(listOf(value).at(-1), new Undefined("No last item, sequence was empty."));
};

const items: Filter = (value, args) => {
  bind("items", args, []);
  return generator(function* () {
    if (value instanceof Undefined) return;
    if (!(value instanceof Dict)) throw new RenderError("Can only get item pairs from a mapping.");
    for (const entry of value.entries()) yield new Tuple(entry);
  });
};

const absolute: Filter = (value, args) => {
  bind("abs", args, []);
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) throw new RenderError(`bad operand type for abs(): '${typeName(value)}'`);
  const number = numeric(value);
  return typeof number === "bigint" ? (number < 0n ? -number : number) : Math.abs(number);
};

const format: Filter = (value, { positional, named }) => {
  if (positional.length > 0 && named.size > 0)
    throw new RenderError("can't handle positional and keyword arguments at the same time");
  return formatPercent(str(value), named.size > 0 ? new Dict(named) : new Tuple(positional));
};

export const filters: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  ["abs", absolute],
  [
    "attr",
    (value, args) => {
      const name = str(bind("attr", args, ["name"], 1)[0]!);
      // It sees Python's attributes alone, never a dict's keys.
      return value instanceof Dict && value.has(name)
        ? new Undefined(`no attribute '${name}'`)
        : attributeOf(value, name);
    },
  ],
  ["batch", batch],
  ["capitalize", ofText(capitalize)],
  [
    "center",
    (value, args) => center(str(value), integer(bind("center", args, ["width"])[0] ?? 80n, "center")),
  ],
  ["count", length],
  ["d", defaultFilter],
  ["default", defaultFilter],
  ["dictsort", dictSort],
  ["first", first],
  ["float", floatFilter],
  ["format", format],
  ["groupby", groupBy],
  ["indent", indent],
  ["int", intFilter],
  ["items", items],
  ["join", join],
  ["last", last],
  ["length", length],
  ["list", (value, args) => (bind("list", args, []), listOf(value))],
  ["lower", ofText((text) => text.toLowerCase())],
  ["map", map],
  ["max", extreme(-1)],
  ["min", extreme(1)],
  ["reject", selecting(false, false)],
  ["rejectattr", selecting(true, false)],
  [
    "replace",
    (value, args) => {
      const [from, to, count = null] = bind("replace", args, ["old", "new", "count"], 2);
      return replaced(str(value), str(from!), str(to!), count === null ? -1 : integer(count, "replace"));
    },
  ],
  ["reverse", reverse],
  ["round", round],
  ["safe", (value, args) => (bind("safe", args, []), new Markup(str(value)))],
  ["select", selecting(false, true)],
  ["selectattr", selecting(true, true)],
  ["slice", sliceFilter],
  ["sort", sort],
  ["string", ofText((text) => text)],
  ["sum", sum],
  ["title", ofText(title)],
  ["tojson", toJson],
  [
    "trim",
    (value, args) => {
      const [chars = null] = bind("trim", args, ["chars"]);
      const text = str(value);
      spendText(text.length);
      return strip(text, chars === null ? undefined : str(chars));
    },
  ],
  ["truncate", truncate],
  ["unique", unique],
  ["upper", ofText((text) => text.toUpperCase())],
  ["wordcount", ofText((text) => BigInt(text.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0))],
]);
