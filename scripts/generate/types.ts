// How each schema type is written in TypeScript: its type, the writer in src/torch/addon/wire.ts, and how to recognize it.
import type { Argument, Schema } from "./schema.ts";

export interface TypeRule {
  /** TypeScript type of the parameter. */
  ts: string;
  /** Writer in wire.ts. */
  writer: string;
  /** Extra argument of the writer. */
  extra?: string;
  /** Predicate for overload choice, on expression `x`. */
  test(x: string): string;
}

const numberTest = (x: string) => `typeof ${x} === "number"`;
const intTest = (x: string) => `(typeof ${x} === "number" || typeof ${x} === "bigint")`;
const nullable = (test: (x: string) => string) => (x: string) => `(${x} === null || ${test(x)})`;

const plain: Record<string, TypeRule> = {
  Tensor: { ts: "Tensor", writer: "tensor", test: (x) => `isTensor(${x})` },
  "Tensor?": { ts: "Tensor | null", writer: "optTensor", test: nullable((x) => `isTensor(${x})`) },
  "Tensor[]": { ts: "readonly Tensor[]", writer: "tensors", test: (x) => `isTensorList(${x})` },
  "Tensor?[]": { ts: "readonly (Tensor | null)[]", writer: "optTensors", test: (x) => `Array.isArray(${x})` },
  Scalar: { ts: "Scalar", writer: "scalar", test: (x) => `isScalar(${x})` },
  "Scalar?": { ts: "Scalar | null", writer: "optScalar", test: nullable((x) => `isScalar(${x})`) },
  "Scalar[]": { ts: "readonly Scalar[]", writer: "scalars", test: (x) => `isNumberList(${x})` },
  int: { ts: "number", writer: "int", test: intTest },
  "int?": { ts: "number | null", writer: "optInt", test: nullable(intTest) },
  float: { ts: "number", writer: "float", test: numberTest },
  "float?": { ts: "number | null", writer: "optFloat", test: nullable(numberTest) },
  "float[]": { ts: "readonly number[]", writer: "floats", test: (x) => `isNumberList(${x})` },
  "float[]?": {
    ts: "readonly number[] | null",
    writer: "optFloats",
    test: nullable((x) => `isNumberList(${x})`),
  },
  bool: { ts: "boolean", writer: "bool", test: (x) => `typeof ${x} === "boolean"` },
  "bool?": { ts: "boolean | null", writer: "optBool", test: nullable((x) => `typeof ${x} === "boolean"`) },
  str: { ts: "string", writer: "str", test: (x) => `typeof ${x} === "string"` },
  "str?": { ts: "string | null", writer: "optStr", test: nullable((x) => `typeof ${x} === "string"`) },
  ScalarType: { ts: "Dtype", writer: "dtype", test: (x) => `${x} instanceof Dtype` },
  "ScalarType?": { ts: "Dtype | null", writer: "optDtype", test: nullable((x) => `${x} instanceof Dtype`) },
  "Layout?": { ts: "Layout | null", writer: "optLayout", test: nullable((x) => `typeof ${x} === "string"`) },
  Device: { ts: "Device | string", writer: "deviceArg", test: (x) => `isDevice(${x})` },
  "Device?": { ts: "Device | string | null", writer: "optDevice", test: nullable((x) => `isDevice(${x})`) },
  MemoryFormat: { ts: "MemoryFormat", writer: "memoryFormat", test: (x) => `typeof ${x} === "string"` },
  "MemoryFormat?": {
    ts: "MemoryFormat | null",
    writer: "optMemoryFormat",
    test: nullable((x) => `typeof ${x} === "string"`),
  },
  "Generator?": {
    ts: "Generator | null",
    writer: "optGenerator",
    test: nullable((x) => `${x} instanceof Generator`),
  },
};

/** The rule of a schema type; undefined where TypeScript can't pass it. */
export function typeRule(type: string): TypeRule | undefined {
  const found = plain[type];
  if (found) return found;
  const list = /^(int|bool)\[(\d*)\](\?)?$/.exec(type);
  if (!list) return undefined;
  const [, element, size, optional] = list;
  if (element === "bool")
    return optional
      ? undefined
      : { ts: "readonly boolean[]", writer: "bools", extra: size || "0", test: (x) => `Array.isArray(${x})` };
  const spreads = size !== "";
  const test = spreads
    ? (x: string) => `(${numberTest(x)} || isNumberList(${x}))`
    : (x: string) => `isNumberList(${x})`;
  return {
    ts: `${spreads ? "number | " : ""}readonly number[]${optional ? " | null" : ""}`,
    writer: optional ? "optInts" : "ints",
    extra: spreads ? size! : "0",
    test: optional ? nullable(test) : test,
  };
}

const codes: Readonly<Record<string, string>> = {
  Tensor: "T",
  Scalar: "S",
  float: "f",
  bool: "b",
  str: "s",
  Device: "D",
  Generator: "G",
};

/** How an operator's arguments stand in the buffer, and how many results: native/core/dispatch.cc writes the same. */
export function layoutOf(schema: Schema): string {
  const code = ({ type }: Argument): string => {
    const [, base, inner, list, outer] = /^(\w+)(\?)?(\[\d*\])?(\?)?$/.exec(type)!;
    if (base === "Generator") return "G";
    // Integers, and what is one in the schema: dtypes, layouts, memory formats.
    return `${codes[base!] ?? "i"}${inner ?? ""}${list ? "*" : ""}${outer ?? ""}`;
  };
  return `${schema.arguments.map(code).join(" ")}:${schema.returns.filter(({ type }) => type !== "" && type !== "()").length}`;
}

/** The TypeScript expression of a schema default. */
export function defaultExpression(argument: Argument): string {
  const text = argument.default!;
  if (text === "None") return "undefined";
  if (text === "True") return "true";
  if (text === "False") return "false";
  if (argument.type.startsWith("ScalarType")) return `dtypeOfCode(${text})`;
  if (argument.type.startsWith("MemoryFormat")) return `"contiguous"`;
  if (/^-?[\d.]+(e[-+]?\d+)?$/.test(text)) return text.replace(/\.$/, ".0");
  if (/^"[^"]*"$/.test(text)) return text;
  if (/^'[^']*'$/.test(text)) return `"${text.slice(1, -1)}"`;
  if (/^\[[-\d., TrueFalse]*\]$/.test(text))
    return text.replaceAll("True", "true").replaceAll("False", "false");
  throw new Error(`default ${text} of ${argument.type} ${argument.name}`);
}
