// Tables of rotary embedding: cos and sin of position x frequency, in fp32 (Su et al. 2021, arXiv:2104.09864; Llama 3.1's
// scaling as in Transformers' modeling_rope_utils).
import { fromTypedArray, type Dtype, type Tensor } from "../torch/index.ts";
import type { ModelConfig } from "./model-config.ts";

/** Angles per position step, one for each pair of dimensions: [headDim / 2]. */
export function inverseFrequencies(
  config: Pick<ModelConfig, "headDim" | "ropeTheta" | "ropeScaling">,
): Float64Array {
  const half = config.headDim / 2;
  const scaling = config.ropeScaling;
  return Float64Array.from({ length: half }, (_, i) => {
    // Transformers computes these in fp32; rounding at the same places keeps the tables equal.
    const frequency = Math.fround(1 / Math.fround(config.ropeTheta ** Math.fround((2 * i) / config.headDim)));
    if (scaling === undefined) return frequency;
    if (scaling.kind === "linear") return frequency / scaling.factor;
    const wavelength = (2 * Math.PI) / frequency;
    const low = scaling.originalMaxPositions / scaling.lowFreqFactor;
    const high = scaling.originalMaxPositions / scaling.highFreqFactor;
    if (wavelength > low) return frequency / scaling.factor;
    if (wavelength < high) return frequency;
    const smooth =
      (scaling.originalMaxPositions / wavelength - scaling.lowFreqFactor) /
      (scaling.highFreqFactor - scaling.lowFreqFactor);
    return ((1 - smooth) * frequency) / scaling.factor + smooth * frequency;
  });
}

/** cos and sin for positions 0 to `positions` - 1: two tables of shape [positions, headDim / 2]. */
export function ropeTables(
  config: Pick<ModelConfig, "headDim" | "ropeTheta" | "ropeScaling">,
  positions: number,
  dtype: Dtype,
): { cos: Tensor; sin: Tensor } {
  const frequencies = inverseFrequencies(config);
  const half = frequencies.length;
  const cos = new Float64Array(positions * half);
  const sin = new Float64Array(positions * half);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(p * Math.fround(frequencies[i]!));
      cos[p * half + i] = Math.cos(angle);
      sin[p * half + i] = Math.sin(angle);
    }
  }
  return {
    cos: fromTypedArray(cos, [positions, half], { dtype }),
    sin: fromTypedArray(sin, [positions, half], { dtype }),
  };
}
