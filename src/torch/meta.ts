// Which device's memory meta tensors simulate: native/fused/meta.cc counts their bytes accordingly.
import { call } from "./operators/call.ts";

/** Main memory, or an accelerator's. */
export type MetaMemory = "cpu" | "accelerator";

let current: MetaMemory = "cpu";

/**
 * Sets the memory that new meta tensors simulate, and that `memoryStats("meta")` reports. After the first call, operators that
 * need a meta tensor's values get made-up ones (see meta.cc) instead of failing.
 * @returns the previous setting
 */
export function setMetaMemory(memory: MetaMemory): MetaMemory {
  const previous = current;
  call<undefined>("forge::meta_stands_for", memory);
  current = memory;
  return previous;
}
