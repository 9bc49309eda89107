// Explains why no overload of a function accepts a call's arguments: which parameter is wrong, and what it takes. Runs only
// after a failed call, and works from the overloads' signatures.
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

/** For a schema type: what it takes, in words, and a test whether a value is acceptable. */
function typeRule(type: string): [string, (value: unknown) => boolean] {
  if (type.endsWith("?")) {
    const [words, test] = typeRule(type.slice(0, -1));
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

interface Mismatch {
  /** The number of arguments before it that matched. */
  position: number;
  name: string;
  expected: string;
  found: string;
}

function findMismatch(
  parameters: readonly Parameter[],
  args: readonly unknown[],
  options: object | undefined,
): Mismatch {
  const positional = parameters.filter((one) => !one.isOption);
  for (const [i, value] of args.entries()) {
    const parameter = positional[i];
    if (parameter === undefined)
      return {
        position: i,
        name: "",
        expected: `at most ${positional.length} arguments`,
        found: `${args.length}`,
      };
    const [expected, fits] = typeRule(parameter.type);
    if (value === undefined && parameter.isOptional) continue;
    if (!fits(value)) return { position: i, name: parameter.name, expected, found: describe(value) };
  }
  const given = new Map(Object.entries(options ?? {}));
  for (const [i, one] of parameters.entries()) {
    if (one.isOptional || (!one.isOption && i < args.length)) continue;
    if (one.isOption && given.get(one.name) !== undefined) continue;
    return { position: args.length, name: one.name, expected: typeRule(one.type)[0], found: "nothing" };
  }
  const known = parameters.filter((one) => one.isOptional || one.isOption).map((one) => one.name);
  const unknown = [...given.keys()].find((key) => !known.includes(key));
  const expected = known.length > 0 ? `one of the options ${known.join(", ")}` : "no options";
  return { position: args.length + 1, name: "", expected, found: unknown ?? "other values" };
}

/** Always throws. @throws ArgumentError that names the parameter */
export function noOverload(
  fn: string,
  args: readonly unknown[],
  options: Record<string, unknown> | undefined,
  overloads: readonly string[],
): never {
  const given = args.filter((one) => !isOptions(one));
  while (given.length > 0 && given.at(-1) === undefined) given.pop();
  const mismatches = overloads.map((text) => findMismatch(parametersOf(text), given, options));
  const furthest = Math.max(...mismatches.map((one) => one.position));
  const closest = mismatches.filter((one) => one.position === furthest);
  const first = closest[0]!;
  const sameParameter = closest.filter((one) => one.name === first.name);
  const expected = [...new Set(sameParameter.map((one) => one.expected))].join(" or ");
  const place = first.name === "" ? "" : ` argument '${first.name}':`;
  throw new ArgumentError(
    `${fn}:${place} expected ${expected}, found ${first.found}\n  there is ${overloads.join("\n       and ")}`,
  );
}
