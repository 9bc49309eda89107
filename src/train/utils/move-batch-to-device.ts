// A batch's tensors on another device, whatever holds them.
import type { Device, Tensor } from "../../torch/index.ts";

/**
 * A copy of the batch with every tensor in it, also inside lists, objects, Maps and Sets, on the device; all else as it
 * is. A tensor that is there already is the same tensor.
 *
 * @example
 * ```ts
 * import { moveBatchToDevice } from "torchforge";
 * import { ones } from "torchforge/torch";
 *
 * const batch = moveBatchToDevice({ tokens: ones([2, 8]), name: "first" }, "cpu");
 * console.log(batch.tokens.device.type, batch.name); // cpu first
 * ```
 */
export function moveBatchToDevice<T>(batch: T, device: Device | string): T {
  return moved(batch, device) as T;
}

function moved(value: unknown, device: Device | string): unknown {
  if (isTensor(value)) return value.to(device);
  if (Array.isArray(value)) return value.map((one: unknown) => moved(one, device));
  if (value instanceof Map)
    return new Map([...value].map(([key, one]: [unknown, unknown]) => [key, moved(one, device)]));
  if (value instanceof Set) return new Set([...value].map((one: unknown) => moved(one, device)));
  if (typeof value !== "object" || value === null) return value;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, moved(one, device)]));
}

/** Without loading torchforge/torch, of which whoever has a tensor has a copy. */
function isTensor(value: unknown): value is Tensor {
  if (typeof value !== "object" || value === null) return false;
  const one = value as Partial<Tensor>;
  return typeof one.to === "function" && "device" in one && "dtype" in one && "shape" in one;
}
