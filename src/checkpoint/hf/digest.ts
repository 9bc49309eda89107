// Tells the weights of one model from those of another, without reading all of them: the base that an adapter was trained on.
import { createHash } from "node:crypto";
import { openModelWeights } from "../../safetensors/index.ts";

/** Read of each tensor's beginning, middle and end. */
const sampleBytes = 4096;

/** SHA-256 of names, types, shapes, and samples of each tensor's bytes. */
export function digestOfWeights(folder: string): string {
  using source = openModelWeights(folder);
  const hash = createHash("sha256");
  const sample = new Uint8Array(sampleBytes);
  for (const name of [...source.names].sort()) {
    const { dtype, shape, length } = source.info(name);
    hash.update(JSON.stringify([name, dtype, shape]));
    const last = Math.max(0, length - sampleBytes);
    for (const at of new Set([0, Math.floor(last / 2), last])) {
      const part = sample.subarray(0, Math.min(sampleBytes, length - at));
      source.readInto(name, part, at);
      hash.update(part);
    }
  }
  return hash.digest("hex");
}
