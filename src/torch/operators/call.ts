// Calls any operator of the dispatcher by name, type-checked at run time only: for operators without a generated function
// (internal ones, and those of other namespaces). Arguments are in the schema's order; missing ones take its defaults.
import { addon, check, f64 } from "../addon/addon.ts";
import { ArgumentError, TorchError } from "../errors.ts";
import { camelCase } from "./names.ts";
import * as wire from "../addon/wire.ts";
import type { Tensor } from "../tensor/tensor.ts";

interface ParsedSchema {
  op: wire.Op;
  arguments: { type: string; name: string; default: string | undefined }[];
  returns: string[];
  /** Index of the argument that an in-place operator returns; else -1. */
  outputArgument: number;
}

const cache = new Map<string, ParsedSchema>();
let schemas: Map<string, string> | undefined;

function parseSchema(name: string): ParsedSchema {
  const cached = cache.get(name);
  if (cached) return cached;
  schemas ??= new Map(
    addon()
      .schemas()
      .map((text) => [text.slice(0, text.indexOf("(")), text]),
  );
  const text = schemas.get(name);
  if (!text) throw new TorchError(`this libtorch has no operator ${name}`, name);
  const open = text.indexOf("(");
  const arrow = text.lastIndexOf(") -> ");
  const args = splitTopLevel(text.slice(open + 1, arrow)).filter((part) => part !== "*");
  const results = text.slice(arrow + 5);
  const [base, overload] = name.split(".");
  const schema: ParsedSchema = {
    op: new wire.Op(base!, overload ?? ""),
    arguments: args.map((part) => {
      const match = /^(.*) (\w+)(?:=(.*))?$/.exec(part)!;
      return { type: baseType(match[1]!), name: camelCase(match[2]!), default: match[3] };
    }),
    returns: (results.startsWith("(") ? splitTopLevel(results.slice(1, -1)) : [results]).map((part) =>
      baseType(part.replace(/ \w+$/, "")),
    ),
    outputArgument: /^Tensor\(\w+!\)$/.test(results) ? args.findIndex((part) => part.includes("!")) : -1,
  };
  cache.set(name, schema);
  return schema;
}

const baseType = (type: string) => type.replaceAll(/\([^)]*\)/g, "").replaceAll("SymInt", "int");

function splitTopLevel(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let i = 0; i <= text.length; i++) {
    const c = text[i];
    if (c === "(" || c === "[") depth++;
    if (c === ")" || c === "]") depth--;
    if (i === text.length || (c === "," && depth === 0)) {
      const part = text.slice(from, i).trim();
      if (part) parts.push(part);
      from = i + 1;
    }
  }
  return parts;
}

function defaultValue(text: string): unknown {
  if (text === "None") return undefined;
  if (text === "True" || text === "False") return text === "True";
  if (text.startsWith("["))
    return text
      .slice(1, -1)
      .split(",")
      .filter(Boolean)
      .map((one) => defaultValue(one.trim()));
  if (/^["']/.test(text)) return text.slice(1, -1);
  return Number(text);
}

function write(p: number, type: string, input: unknown, name: string, fallback?: string): number {
  const optional = type.endsWith("?");
  const base = optional ? type.slice(0, -1) : type;
  const value = input as never;
  if (base === "Tensor") return optional ? wire.optTensor(p, value, name) : wire.tensor(p, value, name);
  if (base === "Tensor[]") return wire.tensors(p, value, name);
  if (base === "Tensor?[]") return wire.optTensors(p, value, name);
  if (base === "Generator") return wire.optGenerator(p, value, name);
  if (optional) {
    if (input === undefined || input === null) return wire.optBool(p, undefined, name);
    return write(wire.bool(p, true, name), base, input, name, fallback);
  }
  if (base === "Scalar") return wire.scalar(p, value, name);
  if (base === "Scalar[]") return wire.scalars(p, value, name);
  if (base === "float") return wire.float(p, value, name);
  if (base === "float[]") return wire.floats(p, value, name);
  if (base === "bool") return wire.bool(p, value, name);
  const flags = /^bool\[(\d*)\]$/.exec(base);
  if (flags) return wire.bools(p, value, name, Number(flags[1] || 0));
  if (base === "str" || base === "Any") return wire.str(p, value, name);
  if (base === "Device") return wire.deviceArg(p, value, name);
  // A number can only come from the schema's default.
  if (base === "ScalarType")
    return typeof input === "number" && String(input) === fallback
      ? wire.int(p, input, name)
      : wire.dtype(p, value, name);
  if (base === "MemoryFormat")
    return wire.memoryFormat(
      p,
      typeof input === "number" && String(input) === fallback ? "contiguous" : value,
      name,
    );
  if (base === "Layout") return wire.layout(p, value, name);
  const list = /^int\[(\d*)\]$/.exec(base);
  if (list) return wire.ints(p, value, name, Number(list[1] || 0), fallback === "[]");
  if (base === "int") return wire.int(p, value, name);
  throw new ArgumentError(`argument '${name}' of type ${type} can't be passed from TypeScript`);
}

function read(returns: readonly string[]): unknown[] {
  let p = 0;
  return returns
    .filter((type) => type !== "()" && type !== "")
    .map((type) => {
      const start = p;
      if (type === "Tensor" || type === "Tensor?") {
        p += 1;
        return wire.optTensorAt(start);
      }
      if (type === "Tensor[]") {
        p += 1 + f64[start]!;
        return wire.tensorsAt(start);
      }
      if (type.startsWith("int[")) {
        p += 1 + 2 * f64[start]!;
        return wire.intsAt(start);
      }
      p += 2;
      return wire.scalarAt(start);
    });
}

/**
 * Calls an operator by its full name: `call("aten::add.Tensor", x, y)`, `call("forge::rms_norm", x, w, 1e-6)`.
 * Returns its result, or an array of several results; an in-place operator returns the argument that it writes to. Internal
 * operators (`aten::_…` and other namespaces) trust their caller: some crash the process if their arguments don't match.
 * @throws TorchError if there is no such operator, ArgumentError for wrong arguments
 *
 * @example
 * ```ts
 * import { call, ones, type Tensor } from "torchforge/torch";
 *
 * const sum = call("aten::add.Tensor", ones([2]), ones([2]));
 * const [values, indices] = call<[Tensor, Tensor]>("aten::topk", sum, 1);
 * console.log(values.tolist(), indices.shape); // [2] [1]
 * ```
 */
export function call<Result = Tensor>(name: string, ...args: unknown[]): Result {
  const schema = parseSchema(name);
  if (args.length > schema.arguments.length) {
    throw new ArgumentError(
      `${name}: expected at most ${schema.arguments.length} arguments, found ${args.length}`,
    );
  }
  let p = wire.begin(schema.op);
  for (const [i, argument] of schema.arguments.entries()) {
    let value = args[i];
    if (value === undefined) {
      if (argument.default === undefined && !argument.type.endsWith("?")) {
        throw new ArgumentError(`${name}: argument '${argument.name}' (${argument.type}) is missing`);
      }
      value = argument.default === undefined ? undefined : defaultValue(argument.default);
    }
    p = write(p, argument.type, value, argument.name, argument.default);
  }
  wire.finish();
  // In-place operators leave no result in the buffer.
  if (schema.outputArgument >= 0) return args[schema.outputArgument] as Result;
  const results = read(schema.returns);
  return (results.length > 1 ? results : results[0]) as Result;
}

/** Whether this libtorch (with this addon) has the operator. */
export function hasOp(name: string): boolean {
  const [base, overload] = name.split(".");
  const failure = addon().op(base!, overload ?? "", "");
  if (failure !== undefined && failure.kind !== "native") check(failure);
  return failure === undefined;
}
