// The names that every template has: Jinja2's, and those that Transformers adds.
import { bind, positional } from "./arguments.ts";
import { dictFromKeys } from "./attributes.ts";
import { RenderError, UnsupportedError } from "./errors.ts";
import { strftime } from "./strftime.ts";
import { str } from "./text.ts";
import {
  Callable,
  Dict,
  integer,
  isList,
  Namespace,
  Range,
  Tuple,
  typeName,
  type Arguments,
  type Value,
} from "./values.ts";

/** The sandbox's bound on range(). */
const maxRange = 100_000;

function dictOf(args: Arguments, into: (key: Value, value: Value) => void): void {
  const [source] = positional("dict", { ...args, named: new Map() }, 0, 1);
  if (source instanceof Dict) for (const [key, value] of source.entries()) into(key, value);
  else if (source !== undefined) {
    if (!isList(source)) throw new UnsupportedError(`dict() of a ${typeName(source)}`);
    for (const pair of source) {
      const entry = pair instanceof Tuple ? pair.items : isList(pair) ? pair : [];
      if (entry.length !== 2) throw new RenderError("dictionary update sequence element must have length 2");
      into(entry[0]!, entry[1]!);
    }
  }
  for (const [key, value] of args.named) into(key, value);
}

function range(args: Arguments): Value {
  const numbers = positional("range", args, 1, 3).map((value) => integer(value, "range"));
  const [start, stop, step = 1] =
    numbers.length === 1 ? [0, numbers[0]!] : (numbers as [number, number, number?]);
  if (step === 0) throw new RenderError("range() arg 3 must not be zero");
  const made = new Range(start, stop, step);
  if (made.length > maxRange)
    throw new RenderError(`Range too big. The sandbox blocks ranges larger than MAX_RANGE (${maxRange}).`);
  return made;
}

function cycler({ positional: items }: Arguments): Value {
  if (items.length === 0) throw new RenderError("at least one item has to be provided");
  let at = 0;
  const methods: Readonly<Record<string, () => Value>> = {
    next: () => items[at++ % items.length]!,
    reset: () => {
      at = 0;
      return null;
    },
  };
  const attributes = {
    get: (name: string): Value | undefined =>
      name === "current"
        ? items[at % items.length]
        : name in methods
          ? new Callable(name, methods[name]!)
          : undefined,
  } as unknown as ReadonlyMap<string, Value>;
  return new Callable("cycler", () => methods["next"]!(), { type: "Cycler", attributes });
}

function joiner(args: Arguments): Value {
  const [separator = ", "] = bind("joiner", args, ["sep"]);
  let isUsed = false;
  return new Callable("joiner", () => {
    if (isUsed) return separator;
    isUsed = true;
    return "";
  });
}

function noBlocks(): never {
  throw new RenderError("'TemplateReference' object is not callable");
}

/** @param now what strftime_now takes for now. */
export function globals(now: Date): ReadonlyMap<string, Value> {
  const functions: Readonly<Record<string, (args: Arguments) => Value>> = {
    range,
    cycler,
    joiner,
    dict: (args) => {
      const dict = new Dict();
      dictOf(args, (key, value) => dict.put(key, value));
      return dict;
    },
    namespace: (args) => {
      const namespace = new Namespace();
      dictOf(args, (key, value) => namespace.set(str(key), value));
      return namespace;
    },
    lipsum: () => {
      throw new UnsupportedError("lipsum(), which is random");
    },
    raise_exception: (args) => {
      throw new RenderError(str(bind("raise_exception", args, ["message"], 1)[0]!));
    },
    strftime_now: (args) => strftime(now, str(bind("strftime_now", args, ["format"], 1)[0]!)),
  };
  const fromKeys = new Callable("fromkeys", (args) => dictFromKeys(args));
  const attributes = new Map([["fromkeys", fromKeys]]);
  return new Map<string, Value>([
    ...Object.entries(functions).map(
      ([name, call]) => [name, new Callable(name, call, name === "dict" ? { attributes } : {})] as const,
    ),
    ["self", new Callable("self", noBlocks, { type: "TemplateReference" })],
  ]);
}
