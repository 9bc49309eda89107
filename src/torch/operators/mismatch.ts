// Says why no overload of a function takes the arguments that it was called with: which parameter is wrong, and what it
// takes. Runs only when a call has failed, from the overloads' own signatures.
import { Device } from "../device.ts";
import { describe } from "../describe.ts";
import { Dtype } from "../dtype.ts";
import { ArgumentError } from "../errors.ts";
import { Generator } from "../random.ts";
import { isNumberList, isOptions, isScalar, isTensor, isTensorList } from "../addon/wire.ts";

interface Parameter {
  name: string;
  type: string;
  isOptional: boolean;
  isOption: boolean;
}

const isInt = (value: unknown) => typeof value === "number" || typeof value === "bigint";

/** By schema type: what it takes in words, and whether a value is that. */
function rule(type: string): [string, (value: unknown) => boolean] {
  if (type.endsWith("?")) {
    const [words, test] = rule(type.slice(0, -1));
    return [`${words} or null`, (value) => value === null || test(value)];
  }
  switch (type) {
    case "Tensor":
      return ["a Tensor", isTensor];
    case "Tensor[]":
      return ["an array of Tensors", isTensorList];
    case "Tensor?[]":
      return ["an array of Tensors or nulls", Array.isArray];
    case "Scalar":
      return ["a number", isScalar];
    case "Scalar[]":
      return ["an array of numbers", isNumberList];
    case "int":
      return ["a whole number", isInt];
    case "float":
      return ["a number", (value) => typeof value === "number"];
    case "float[]":
      return ["an array of numbers", isNumberList];
    case "bool":
      return ["a boolean", (value) => typeof value === "boolean"];
    case "str":
      return ["a string", (value) => typeof value === "string"];
    case "ScalarType":
      return ["a dtype such as float32", (value) => value instanceof Dtype];
    case "Device":
      return ["a device such as cpu", (value) => typeof value === "string" || value instanceof Device];
    case "Generator":
      return ["a Generator", (value) => value instanceof Generator];
  }
  if (type.startsWith("bool[")) return ["an array of booleans", Array.isArray];
  if (type === "int[]") return ["an array of whole numbers", isNumberList];
  if (type.startsWith("int["))
    return ["a whole number or an array of them", (value) => isInt(value) || isNumberList(value)];
  return [`a ${type}`, (value) => typeof value === "string"];
}

/** `add(self: Tensor, other: Tensor, *, alpha: Scalar = 1)` */
function parametersOf(signature: string): Parameter[] {
  const [positional = "", keywords = ""] = signature.slice(signature.indexOf("(") + 1, -1).split("*, ");
  const parse = (text: string, isOption: boolean): Parameter[] =>
    [...text.matchAll(/(\w+): ([^\s,]+)( = )?/g)].map((match) => ({
      name: match[1]!,
      type: match[2]!,
      isOptional: match[3] !== undefined,
      isOption,
    }));
  return [...parse(positional, false), ...parse(keywords, true)];
}

interface Misfit {
  /** How many arguments fitted before. */
  at: number;
  name: string;
  expected: string;
  found: string;
}

function misfitOf(
  parameters: readonly Parameter[],
  args: readonly unknown[],
  options: object | undefined,
): Misfit {
  const places = parameters.filter((one) => !one.isOption);
  for (const [i, value] of args.entries()) {
    const place = places[i];
    if (place === undefined)
      return { at: i, name: "", expected: `at most ${places.length} arguments`, found: `${args.length}` };
    const [expected, fits] = rule(place.type);
    if (value === undefined && place.isOptional) continue;
    if (!fits(value)) return { at: i, name: place.name, expected, found: describe(value) };
  }
  const given = new Map(Object.entries(options ?? {}));
  for (const [i, one] of parameters.entries()) {
    if (one.isOptional || (!one.isOption && i < args.length)) continue;
    if (one.isOption && given.get(one.name) !== undefined) continue;
    return { at: args.length, name: one.name, expected: rule(one.type)[0], found: "nothing" };
  }
  const known = parameters.filter((one) => one.isOptional || one.isOption).map((one) => one.name);
  const unknown = [...given.keys()].find((key) => !known.includes(key));
  const expected = known.length > 0 ? `one of the options ${known.join(", ")}` : "no options";
  return { at: args.length + 1, name: "", expected, found: unknown ?? "other values" };
}

/** @throws ArgumentError that names the parameter; always */
export function noOverload(
  fn: string,
  args: readonly unknown[],
  options: Record<string, unknown> | undefined,
  overloads: readonly string[],
): never {
  const given = args.filter((one) => !isOptions(one));
  while (given.length > 0 && given.at(-1) === undefined) given.pop();
  const misfits = overloads.map((text) => misfitOf(parametersOf(text), given, options));
  const furthest = Math.max(...misfits.map((one) => one.at));
  const closest = misfits.filter((one) => one.at === furthest);
  const first = closest[0]!;
  const same = closest.filter((one) => one.name === first.name);
  const expected = [...new Set(same.map((one) => one.expected))].join(" or ");
  const place = first.name === "" ? "" : ` argument '${first.name}':`;
  throw new ArgumentError(
    `${fn}:${place} expected ${expected}, found ${first.found}\n  there is ${overloads.join("\n       and ")}`,
  );
}
