// Main memory, where CPU offload keeps what an optimizer changes. In a simulated run, whose tensors have no memory at all,
// such tensors are of the device meta like all others, and are counted as main memory's.
import { device as deviceOf, setMetaMemory, type Device } from "../../torch/index.ts";

/** Runs `make` with the device of main memory: of tensors that are copied to and from the device `of`. */
export function inMainMemory<T>(of: Device | string, make: (device: "cpu" | "meta") => T): T {
  if (deviceOf(of).type !== "meta") return make("cpu");
  const before = setMetaMemory("cpu");
  try {
    return make("meta");
  } finally {
    setMetaMemory(before);
  }
}
