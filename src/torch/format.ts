// Prints tensors as PyTorch does (torch/_tensor_str.py): 4 digits, scientific where the range asks for it, long ones
// summarized.
import { float64 } from "./dtype.ts";
import * as F from "./generated/functions.ts";
import { scope } from "./scope.ts";
import type { Nested, Tensor } from "./tensor.ts";

const precision = 4;
const threshold = 1000;
const edgeItems = 3;
const lineWidth = 80;

type Formatter = (value: number | bigint | boolean) => string;

// Pads exponents to two digits as C does.
const scientific = (value: number) => value.toExponential(precision).replace(/e([+-])(\d)$/, "e$10$2");

function special(value: number): string | undefined {
  if (Number.isNaN(value)) return "nan";
  return Number.isFinite(value) ? undefined : value > 0 ? "inf" : "-inf";
}

function formatterOf(
  values: readonly (number | bigint | boolean)[],
  isFloat: boolean,
): { width: number; text: Formatter } {
  if (!isFloat) {
    const text = (value: number | bigint | boolean) =>
      typeof value === "boolean" ? (value ? "True" : "False") : String(value);
    return { width: Math.max(1, ...values.map((one) => text(one).length)), text };
  }
  const numbers = values.map(Number);
  const finite = numbers.filter((one) => Number.isFinite(one) && one !== 0).map(Math.abs);
  const most = finite.length > 0 ? finite.reduce((a, b) => Math.max(a, b)) : 0;
  const least = finite.length > 0 ? finite.reduce((a, b) => Math.min(a, b)) : 0;
  const whole = finite.every((one) => one === Math.ceil(one));
  let one: (value: number) => string;
  if (finite.length === 0) one = (value) => value.toFixed(0) + ".";
  else if (whole) {
    const wide = most / least > 1000 || most > 1e8;
    one = wide ? scientific : (value) => `${value.toFixed(0)}.`;
  } else {
    one =
      most / least > 1000 || most > 1e8 || least < 1e-4 ? scientific : (value) => value.toFixed(precision);
  }
  const text = (value: number | bigint | boolean) =>
    special(Number(value)) ?? (Object.is(value, -0) ? `-${one(0)}` : one(Number(value)));
  return { width: Math.max(1, ...numbers.map((value) => text(value).length)), text };
}

/** The entries that are shown, with null where some are left out. */
function summarized(shape: readonly number[], summarize: boolean, depth: number): (number | null)[] {
  const n = shape[depth]!;
  const all = Array.from({ length: n }, (_, i) => i);
  if (!summarize || n <= 2 * edgeItems) return all;
  return [...all.slice(0, edgeItems), null, ...all.slice(-edgeItems)];
}

/** Only the entries at the edges, so that a big tensor isn't read whole. */
function edges(self: Tensor): Tensor {
  let cut = self;
  for (let dim = 0; dim < self.ndim; dim++) {
    const n = self.size(dim);
    if (n > 2 * edgeItems)
      cut = F.cat([F.narrow(cut, dim, 0, edgeItems), F.narrow(cut, dim, n - edgeItems, edgeItems)], dim);
  }
  return cut;
}

function body(
  shown: Nested,
  shape: readonly number[],
  summarize: boolean,
  indent: number,
  width: number,
  text: Formatter,
): string {
  const build = (value: Nested, depth: number, column: number): string => {
    if (!Array.isArray(value)) return text(value).padStart(width);
    const places = summarized(shape, summarize, depth);
    // Where entries were left out, the cut tensor's second half follows the first.
    const parts: string[] = [];
    let next = 0;
    for (const place of places) {
      if (place === null) parts.push(depth === shape.length - 1 ? " ..." : "...");
      else parts.push(build(value[next++]!, depth + 1, column + 1));
    }
    if (depth < shape.length - 1) {
      const gap = `,${"\n".repeat(shape.length - 1 - depth)}${" ".repeat(column + 1)}`;
      return `[${parts.join(gap)}]`;
    }
    const perLine = Math.max(1, Math.floor((lineWidth - column) / (width + 2)));
    const lines: string[] = [];
    for (let i = 0; i < parts.length; i += perLine) lines.push(parts.slice(i, i + perLine).join(", "));
    return `[${lines.join(`,\n${" ".repeat(column + 1)}`)}]`;
  };
  return build(shown, 0, indent);
}

function flatten(value: Nested): (number | bigint | boolean)[] {
  return Array.isArray(value) ? value.flatMap(flatten) : [value];
}

/** `tensor([[1., 2.]])`, with device, dtype and `requires_grad=True` where PyTorch shows them. */
export function format(self: Tensor): string {
  using s = scope();
  void s;
  const { dtype, device, shape } = self;
  const prefix = "tensor(";
  const notes: string[] = [];
  if (device.type !== "cpu") notes.push(`device='${device}'`);
  const count = self.numel();
  const summarize = count > threshold;
  let text: string;
  if (device.type === "meta") {
    text = "...";
    notes.push(`size=(${shape.join(", ")}${shape.length === 1 ? "," : ""})`);
  } else if (dtype.isComplex) {
    text = "<complex>";
  } else if (count === 0) {
    text = "[]";
    if (self.ndim !== 1) notes.push(`size=(${shape.join(", ")})`);
  } else {
    const source = self.detach().cpu();
    const cut = summarize ? edges(source) : source;
    const shown = (dtype.isFloatingPoint ? cut.to(float64) : cut).tolist();
    const values = flatten(shown);
    const { width, text: one } = formatterOf(values, dtype.isFloatingPoint);
    text = self.ndim === 0 ? one(values[0]!) : body(shown, shape, summarize, prefix.length, width, one);
  }
  const usual = ["float32", "int64", "bool"].includes(dtype.name) && !(count === 0 && dtype.name === "int64");
  if (!usual || device.type === "meta") if (!usual) notes.push(`dtype=${dtype}`);
  if (self.requiresGrad) notes.push(self.isLeaf ? "requires_grad=True" : "grad_fn=<…>");
  return `${prefix}${[text, ...notes].join(", ")})`;
}
