// Chooses the operators that TypeScript gets, and groups their overloads.
import { parseSchema, type Schema } from "./schema.ts";
import { typeRule } from "./types.ts";
import { camelCase } from "../../src/torch/operators/names.ts";

export { camelCase };

/** All overloads of one name. */
export interface Group {
  /** `add`, `add_`, `_foreach_add` */
  name: string;
  /** camelCase, as TypeScript has it */
  tsName: string;
  overloads: Schema[];
}

// Internal by their name, and yet what a trainer needs.
const wanted =
  /^_(foreach_|fused_adam|fused_sgd|fused_rms_norm|grouped_mm|scaled_mm|softmax$|log_softmax$|softmax_backward_data|log_softmax_backward_data|scaled_dot_product_|to_copy|unsafe_view|weight_norm|euclidean_dist|cdist|embedding_bag|efficient)/;

function isPlumbing(schema: Schema): boolean {
  const name = schema.name.slice("aten::".length);
  if (name.startsWith("_") && !wanted.test(name)) return true;
  // Twins made for functionalization and for the out= form.
  if (name.endsWith("_copy") && name !== "_to_copy" && name !== "index_copy") return true;
  if (name.startsWith("sym_")) return true;
  return schema.arguments.some((one) => one.keywordOnly && one.written);
}

function usesTensors(schema: Schema): boolean {
  return [...schema.arguments, ...schema.returns].some((one) => one.type.startsWith("Tensor"));
}

const returnable = new Set([
  "Tensor",
  "Tensor[]",
  "int",
  "bool",
  "float",
  "Scalar",
  "ScalarType",
  "int[]",
  "()",
]);

function isPassable(schema: Schema): boolean {
  return (
    schema.arguments.every((one) => typeRule(one.type)) &&
    schema.returns.every((one) => returnable.has(one.type))
  );
}

const positional = (schema: Schema) => schema.arguments.filter((one) => !one.keywordOnly);

// Fewer parameters first; among equals tensors before numbers, whole numbers before fractions.
const rank = ["Tensor", "Tensor[]", "Tensor?[]", "int", "int[]", "Scalar", "Scalar[]", "float", "bool"];
function order(a: Schema, b: Schema): number {
  const left = positional(a);
  const right = positional(b);
  if (left.length !== right.length) return left.length - right.length;
  for (const [i, one] of left.entries()) {
    const difference = rank.indexOf(one.type) - rank.indexOf(right[i]!.type);
    if (difference !== 0) return difference;
  }
  return a.overload < b.overload ? -1 : 1;
}

/**
 * @param onUnreadable told of a schema that can't be read, which is then left out; without it that is an error. Schemas of a libtorch
 *   that the generator wasn't written for may have what it doesn't know.
 */
export function chooseOperators(
  texts: readonly string[],
  onUnreadable?: (text: string, error: unknown) => void,
): Group[] {
  const groups = new Map<string, Group>();
  for (const text of texts.toSorted()) {
    if (!text.startsWith("aten::")) continue;
    let schema: Schema;
    try {
      schema = parseSchema(text);
    } catch (error) {
      if (onUnreadable === undefined) throw error;
      onUnreadable(text, error);
      continue;
    }
    if (isPlumbing(schema) || !usesTensors(schema) || !isPassable(schema)) continue;
    const name = schema.name.slice("aten::".length);
    const group = groups.get(name) ?? { name, tsName: camelCase(name), overloads: [] };
    groups.set(name, group);
    group.overloads.push(schema);
  }
  const names = new Map<string, string>();
  for (const group of groups.values()) {
    const other = names.get(group.tsName);
    if (other) {
      const error = new Error(`aten::${group.name} and aten::${other} are both ${group.tsName}`);
      if (onUnreadable === undefined) throw error;
      onUnreadable(`aten::${group.name}`, error);
    }
    names.set(group.tsName, group.name);
    group.overloads.sort(order);
  }
  return [...groups.values()];
}
