// What tensors of the device meta stand for, which have no memory: native/fused/meta.cc computes and counts them as such.
import { call } from "./operators/call.ts";

/** Main memory, or that of an accelerator. */
export type MetaMemory = "cpu" | "accelerator";

let present: MetaMemory = "cpu";

/**
 * Says what those made from now on stand for; `memoryStats("meta")` is of the same kind. Operators that ask for values are
 * told something (see meta.cc) from the first call on, where they would fail before.
 * @returns what they stood for before
 */
export function metaStandsFor(memory: MetaMemory): MetaMemory {
  const before = present;
  call<undefined>("forge::meta_stands_for", memory);
  present = memory;
  return before;
}
