// Prints tensors like PyTorch (torch/_tensor_str.py): 4 digits, scientific notation for wide ranges, large tensors summarized.
// Numbers are formatted in format-number.ts.
import { addon, check, f64 } from "../addon/addon.ts";
import { type Formatter, floatFormatter, plainFormatter } from "./format-number.ts";
import { float64 } from "../dtype.ts";
import * as F from "../generated/functions.ts";
import { scope } from "../scope.ts";
import type { Nested, Tensor } from "./tensor.ts";
import type { Scalar } from "../addon/wire.ts";

const threshold = 1000;
const edgeItems = 3;
const lineWidth = 80;

const prefix = "tensor(";

/** Only the entries at the edges, so that a large tensor isn't read completely. */
function edges(self: Tensor): Tensor {
  let cut = self;
  for (let dim = 0; dim < self.ndim; dim++) {
    const n = self.size(dim);
    if (n > 2 * edgeItems)
      cut = F.cat([F.narrow(cut, dim, 0, edgeItems), F.narrow(cut, dim, n - edgeItems, edgeItems)], dim);
  }
  return cut;
}

const flatten = (value: Nested): Scalar[] => (Array.isArray(value) ? value.flatMap(flatten) : [value]);

/** Nests texts of equal `width` in brackets; `shape` is the whole tensor's. */
function brackets(texts: readonly string[], shape: readonly number[], summarize: boolean, width: number) {
  let next = 0;
  const build = (depth: number, indent: number): string => {
    const n = shape[depth]!;
    const innermost = depth === shape.length - 1;
    const cut = summarize && n > 2 * edgeItems;
    const count = cut ? 2 * edgeItems : n;
    const parts: string[] = [];
    for (let i = 0; i < count; i++) {
      if (cut && i === edgeItems) parts.push(innermost ? " ..." : "...");
      parts.push(innermost ? texts[next++]! : build(depth + 1, indent + 1));
    }
    const space = " ".repeat(indent + 1);
    if (!innermost) return `[${parts.join(`,${"\n".repeat(shape.length - 1 - depth)}${space}`)}]`;
    const perLine = Math.max(1, Math.floor((lineWidth - indent) / (width + 2)));
    const lines: string[] = [];
    for (let i = 0; i < parts.length; i += perLine) lines.push(parts.slice(i, i + perLine).join(", "));
    return `[${lines.join(`,\n${space}`)}]`;
  };
  return shape.length === 0 ? texts[0]! : build(0, prefix.length);
}

function valuesOf(self: Tensor): Scalar[] {
  return flatten((self.dtype.isFloatingPoint ? self.to(float64) : self).tolist());
}

function contents(self: Tensor): string {
  const { shape } = self;
  const summarize = self.numel() > threshold;
  let source = self.detach();
  if (source.layout !== "strided") source = F.toDense(source);
  source = F.resolveNeg(F.resolveConj(source.cpu()));
  if (summarize) source = edges(source);
  if (!self.dtype.isComplex) {
    const values = valuesOf(source);
    const formatter: Formatter = self.dtype.isFloatingPoint
      ? floatFormatter(values as number[])
      : plainFormatter(values);
    return brackets(
      values.map((value) => formatter.text(value)),
      shape,
      summarize,
      formatter.width,
    );
  }
  const parts = F.viewAsReal(source);
  const real = valuesOf(F.select(parts, -1, 0)) as number[];
  const imaginary = valuesOf(F.select(parts, -1, 1)) as number[];
  const left = floatFormatter(real);
  const right = floatFormatter(imaginary);
  const texts = real.map((value, i) => {
    const second = `${right.text(imaginary[i]!)}j`.trimStart();
    return left.text(value) + (/^[+-]/.test(second) ? second : `+${second}`);
  });
  return brackets(texts, shape, summarize, left.width + right.width + 1);
}

/** The name of the tensor's grad_fn, such as `MulBackward0`; undefined for leaves. */
export function gradFnName(self: Tensor): string | undefined {
  const native = addon();
  f64[0] = self.handle;
  const name = native.gradFnName();
  if (typeof name === "object") check(name);
  return name as string | undefined;
}

const sizeNote = (shape: readonly number[]) => `size=(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;

/** `tensor([[1., 2.]])`, with device, dtype and `requires_grad=True` when PyTorch shows them. */
export function format(self: Tensor): string {
  using _ = scope();
  const { dtype, device, shape, layout } = self;
  const isMeta = device.type === "meta";
  const isEmpty = self.numel() === 0;
  const notes: string[] = [];
  if (device.type !== "cpu") notes.push(`device='${device}'`);
  if (isMeta || (isEmpty && shape.length !== 1)) notes.push(sizeNote(shape));
  const impliedDtypes = isMeta || isEmpty ? ["float32"] : ["float32", "complex64", "int64", "bool"];
  if (!impliedDtypes.includes(dtype.name)) notes.push(`dtype=${dtype}`);
  if (layout !== "strided") notes.push(`layout=torch.${layout}`);
  const gradFn = gradFnName(self);
  if (gradFn !== undefined) notes.push(`grad_fn=<${gradFn}>`);
  else if (self.requiresGrad) notes.push("requires_grad=True");

  let text = prefix + (isMeta ? "..." : isEmpty ? "[]" : contents(self));
  let column = text.length - text.lastIndexOf("\n") + 1;
  for (const note of notes) {
    if (column + note.length + 2 > lineWidth) {
      text += `,\n${" ".repeat(prefix.length)}${note}`;
      column = prefix.length + note.length;
    } else {
      text += `, ${note}`;
      column += note.length + 2;
    }
  }
  return `${text})`;
}
