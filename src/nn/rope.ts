// Tables of rotary embedding: cos and sin of position x frequency (Su et al. 2021, arXiv:2104.09864; Llama 3.1's scaling as
// in Transformers' modeling_rope_utils). In fp32, whatever the model's type, as Transformers does; in float64 for a model
// in float64, which is for comparisons.
import { float32, float64, fromTypedArray, type Dtype, type Tensor } from "../torch/index.ts";

/** How positions beyond those of pretraining are told apart. */
export type RopeScaling =
  | {
      readonly kind: "llama3";
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositions: number;
    }
  | { readonly kind: "linear"; readonly factor: number };

export interface RopeConfig {
  readonly headDim: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling | undefined;
}

/** Tables of rotary embedding: [positions, headDim / 2] each. */
export interface RopeTables {
  readonly cos: Tensor;
  readonly sin: Tensor;
}

/**
 * Angles per position step, one for each pair of dimensions: [headDim / 2].
 * @param round what every intermediate result is rounded to: `Math.fround` where Transformers computes in fp32
 */
export function inverseFrequencies(
  config: RopeConfig,
  round: (value: number) => number = Math.fround,
): Float64Array {
  const half = config.headDim / 2;
  const scaling = config.ropeScaling;
  return Float64Array.from({ length: half }, (_, i) => {
    // Rounding at the same places as Transformers keeps the tables equal.
    const frequency = round(1 / round(config.ropeTheta ** round((2 * i) / config.headDim)));
    if (scaling === undefined) return frequency;
    if (scaling.kind === "linear") return round(frequency / scaling.factor);
    const wavelength = round((2 * Math.PI) / frequency);
    const low = scaling.originalMaxPositions / scaling.lowFreqFactor;
    const high = scaling.originalMaxPositions / scaling.highFreqFactor;
    if (wavelength > low) return round(frequency / scaling.factor);
    if (wavelength < high) return frequency;
    const smooth = round(
      round(round(scaling.originalMaxPositions / wavelength) - scaling.lowFreqFactor) /
        (scaling.highFreqFactor - scaling.lowFreqFactor),
    );
    const slow = round(round(round(1 - smooth) * frequency) / scaling.factor);
    return round(slow + round(smooth * frequency));
  });
}

/** cos and sin for positions 0 to `positions` - 1: two tables of shape [positions, headDim / 2]. */
export function ropeTables(config: RopeConfig, positions: number, modelDtype: Dtype = float32): RopeTables {
  const wide = modelDtype === float64;
  const round = wide ? (value: number): number => value : Math.fround;
  const frequencies = inverseFrequencies(config, round);
  const half = frequencies.length;
  const cos = new Float64Array(positions * half);
  const sin = new Float64Array(positions * half);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      const angle = round(p * frequencies[i]!);
      cos[p * half + i] = Math.cos(angle);
      sin[p * half + i] = Math.sin(angle);
    }
  }
  const dtype = wide ? float64 : float32;
  return {
    cos: fromTypedArray(cos, [positions, half], { dtype }),
    sin: fromTypedArray(sin, [positions, half], { dtype }),
  };
}
