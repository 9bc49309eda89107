// Derives config.json's rope_scaling from GGUF metadata. GGUF stores Llama 3.1's scaling only as its result, the tensor rope_freqs,
// so the published parameters are found by computing their factors and comparing.
import { UserError } from "../util/index.ts";
import type { GgufFile } from "./reader.ts";

interface Llama3Scaling {
  readonly rope_type: "llama3";
  readonly factor: number;
  readonly high_freq_factor: number;
  readonly low_freq_factor: number;
  readonly original_max_position_embeddings: number;
}

/** The published parameters of Llama 3.1 (factor 8) and 3.2 (factor 32). */
const publishedScalings: readonly Llama3Scaling[] = [8, 32].map((factor) => ({
  rope_type: "llama3",
  factor,
  high_freq_factor: 4,
  low_freq_factor: 1,
  original_max_position_embeddings: 8192,
}));

/** The divisor of each rotary frequency, as llama.cpp's converter computes `rope_freqs`. */
export function llama3Factors(scaling: Llama3Scaling, theta: number, headDim: number): Float32Array {
  const { factor, low_freq_factor: low, high_freq_factor: high } = scaling;
  const context = scaling.original_max_position_embeddings;
  const factors = new Float32Array(headDim / 2);
  for (let i = 0; i < factors.length; i++) {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headDim);
    if (wavelength < context / high) factors[i] = 1;
    else if (wavelength > context / low) factors[i] = factor;
    else {
      const smooth = (context / wavelength - low) / (high - low);
      factors[i] = 1 / ((1 - smooth) / factor + smooth);
    }
  }
  return factors;
}

/** @throws UserError for an unsupported scaling */
export function ropeScaling(file: GgufFile, arch: string, headDim: number): Record<string, unknown> | null {
  const freqs = file.tensors.find((tensor) => tensor.name === "rope_freqs.weight");
  const type = file.metadata.get(`${arch}.rope.scaling.type`);
  if (freqs !== undefined) {
    if (freqs.type !== "F32" || freqs.elements !== headDim / 2) {
      throw new UserError(`${file.path}: expected rope_freqs.weight to be F32 [${headDim / 2}]`);
    }
    const bytes = new Uint8Array(freqs.bytes);
    file.readInto(freqs, bytes, 0);
    const factors = new Float32Array(bytes.buffer);
    const theta = file.number(`${arch}.rope.freq_base`);
    for (const scaling of publishedScalings) {
      const expected = llama3Factors(scaling, theta, headDim);
      if (expected.every((value, i) => Math.abs(value - factors[i]!) <= 1e-4 * value)) return { ...scaling };
    }
    throw new UserError(
      `${file.path}: rope_freqs.weight is not that of Llama 3.1 (factor 8) or 3.2 (factor 32); its rope_scaling cannot be told`,
    );
  }
  if (type === undefined || type === "none") return null;
  const factor = file.number(`${arch}.rope.scaling.factor`);
  if (type === "linear") return { rope_type: "linear", factor };
  throw new UserError(
    `${file.path}: expected ${arch}.rope.scaling.type none or linear, found ${String(type)}`,
  );
}
