// Jinja2's tests: `value is defined`, `value is divisibleby 3`.
import { bind } from "./arguments.ts";
import { RenderError } from "./errors.ts";
import { binary, compares } from "./operators.ts";
import { isLower, isUpper } from "./strings.ts";
import { str } from "./text.ts";
import {
  Callable,
  Dict,
  DictView,
  equal,
  iterateOrNone,
  isNumber,
  lengthOrNone,
  Markup,
  Once,
  Undefined,
  type Arguments,
  type Value,
} from "./values.ts";

type Test = (value: Value, args: Arguments) => boolean;

const plain =
  (test: (value: Value) => boolean): Test =>
  (value, args) => {
    bind("test", args, []);
    return test(value);
  };

const withOther =
  (test: (value: Value, other: Value) => boolean): Test =>
  (value, args) =>
    test(value, bind("test", args, ["other"], 1)[0]!);

const modulo = (value: Value, by: Value, wanted: bigint): boolean => equal(binary("%", value, by), wanted);

/** Tests of Jinja2 that aren't implemented. */
export const unsupportedTests: ReadonlySet<string> = new Set(["escaped", "filter", "test"]);

/** Identity where Python's can be told: singletons and objects. Equal small ints and texts may or may not be the same there. */
function isSame(value: Value, other: Value): boolean {
  if (typeof value === "bigint" || typeof value === "string" || typeof value === "number") {
    if (typeof value !== typeof other) return false;
    throw new RenderError("sameas of numbers or text depends on how Python stores them");
  }
  return value === other;
}

export const tests: ReadonlyMap<string, Test> = new Map<string, Test>([
  ["odd", plain((value) => modulo(value, 2n, 1n))],
  ["even", plain((value) => modulo(value, 2n, 0n))],
  ["divisibleby", withOther((value, by) => modulo(value, by, 0n))],
  ["defined", plain((value) => !(value instanceof Undefined))],
  ["undefined", plain((value) => value instanceof Undefined)],
  ["none", plain((value) => value === null)],
  ["boolean", plain((value) => typeof value === "boolean")],
  ["false", plain((value) => value === false)],
  ["true", plain((value) => value === true)],
  ["integer", plain((value) => typeof value === "bigint")],
  ["float", plain((value) => typeof value === "number")],
  ["lower", plain((value) => isLower(str(value)))],
  ["upper", plain((value) => isUpper(str(value)))],
  ["string", plain((value) => typeof value === "string" || value instanceof Markup)],
  ["mapping", plain((value) => value instanceof Dict)],
  ["number", plain(isNumber)],
  ["sequence", plain((value) => lengthOrNone(value) !== undefined && !(value instanceof DictView))],
  [
    "iterable",
    plain((value) => value instanceof Once || value instanceof Markup || iterateOrNone(value) !== undefined),
  ],
  ["callable", plain((value) => value instanceof Callable || value instanceof Undefined)],
  ["sameas", withOther(isSame)],
  ["in", withOther((value, container) => compares("in", value, container))],
  ...(
    [
      ["==", "eq", "equalto"],
      ["!=", "ne"],
      ["<", "lt", "lessthan"],
      ["<=", "le"],
      [">", "gt", "greaterthan"],
      [">=", "ge"],
    ] as const
  ).flatMap(([operator, ...names]) => {
    const test = withOther((value, other) => compares(operator, value, other));
    return [operator, ...names].map((name) => [name, test] as const);
  }),
]);
