// Describes a value in error messages.
import { TensorBase } from "./tensor/base.ts";
import { Dtype } from "./dtype.ts";

export function describe(value: unknown): string {
  if (value === null) return "null";
  if (value instanceof TensorBase) return "a Tensor";
  if (value instanceof Dtype) return `the dtype ${value.name}`;
  if (Array.isArray(value))
    return value.length > 6 ? `an array of ${value.length}` : `[${value.map(describe).join(", ")}]`;
  if (typeof value === "string") return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === "object") return describeObject(value);
  if (typeof value === "function") return "a function";
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  return typeof value === "symbol" ? "a symbol" : "undefined";
}

function describeObject(value: object): string {
  // A tensor that was posted to another thread arrives as a plain object.
  if (
    Object.getPrototypeOf(value) === Object.prototype &&
    typeof (value as { handle?: unknown }).handle === "number"
  )
    return "a Tensor of another thread (tensors stay on the thread that made them; post their values: toTypedArray())";
  const name: unknown = value.constructor?.name;
  return typeof name === "string" && name !== "" ? `an object of type ${name}` : "an object";
}
