// Tables of rotary embedding: cos and sin of position x frequency (Su et al. 2021, arXiv:2104.09864), scaled as Transformers'
// modeling_rope_utils does. In fp32, whatever the model's type, as Transformers does; in float64 for a model in float64, which
// is for comparisons.
import { float32, float64, fromTypedArray, int64, type Dtype, type Tensor } from "../torch/index.ts";
import { UserError } from "../util/index.ts";
import type { Sequence } from "./sequence.ts";

/** How positions beyond those of pretraining are told apart. */
export type RopeScaling =
  | { readonly kind: "linear"; readonly factor: number }
  | { readonly kind: "dynamic"; readonly factor: number; readonly originalMaxPositions: number }
  | {
      readonly kind: "llama3";
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositions: number;
    }
  | {
      readonly kind: "yarn";
      readonly factor: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** Whether the bounds between which frequencies are mixed are whole numbers. */
      readonly truncate: boolean;
      /** What cos and sin are multiplied by. */
      readonly attentionFactor: number;
      readonly originalMaxPositions: number;
    }
  | {
      readonly kind: "longrope";
      /** Of each frequency, in documents of up to originalMaxPositions tokens, and in longer ones. */
      readonly shortFactor: readonly number[];
      readonly longFactor: readonly number[];
      readonly attentionFactor: number;
      readonly originalMaxPositions: number;
    };

export interface RopeConfig {
  /** Dimensions of a head that are rotated: the first ones. */
  readonly dim: number;
  readonly theta: number;
  readonly scaling: RopeScaling | undefined;
  /** Queries at position p are multiplied by 1 + beta * log(1 + floor(p / originalMaxPositions)) (Ministral 3). */
  readonly queryScaling?: { readonly beta: number; readonly originalMaxPositions: number } | undefined;
}

/** Tables of rotary embedding: [rows, dim / 2] each. */
export interface RopeTables {
  readonly cos: Tensor;
  readonly sin: Tensor;
  /** Documents of more than `beyond` tokens have rows of their own, from `from` on (longrope). */
  readonly long?: { readonly beyond: number; readonly from: number } | undefined;
  /** What rotated queries are multiplied by: [rows]. */
  readonly queryScale?: Tensor | undefined;
}

type Round = (value: number) => number;

/**
 * Angles per position step, one for each pair of dimensions: [dim / 2].
 * @param round what every intermediate result is rounded to: `Math.fround` where Transformers computes in fp32
 * @param isLong with longrope: of a document beyond the positions of pretraining
 */
export function inverseFrequencies(
  { dim, theta, scaling }: RopeConfig,
  round: Round = Math.fround,
  isLong = false,
): Float64Array {
  // Rounding at the same places as Transformers keeps the tables equal.
  const power = (i: number): number => round(theta ** round((2 * i) / dim));
  const plain = (i: number): number => round(1 / power(i));
  const frequency = (i: number): number => {
    switch (scaling?.kind) {
      case undefined:
      case "dynamic":
        return plain(i);
      case "linear":
        return round(plain(i) / scaling.factor);
      case "llama3":
        return llama3(plain(i), scaling, round);
      case "longrope":
        return round(1 / round(round((isLong ? scaling.longFactor : scaling.shortFactor)[i]!) * power(i)));
      case "yarn": {
        const share = yarnShare(i, { dim, theta }, scaling, round);
        return round(
          round(round(1 / round(scaling.factor * power(i))) * round(1 - share)) + round(plain(i) * share),
        );
      }
    }
  };
  return Float64Array.from({ length: dim / 2 }, (_, i) => frequency(i));
}

function llama3(frequency: number, scaling: RopeScaling & { kind: "llama3" }, round: Round): number {
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
}

/** How much of frequency i stays as it was (Peng et al. 2023, https://arxiv.org/abs/2309.00071). */
function yarnShare(
  i: number,
  { dim, theta }: Pick<RopeConfig, "dim" | "theta">,
  { betaFast, betaSlow, truncate, originalMaxPositions }: RopeScaling & { kind: "yarn" },
  round: Round,
): number {
  const dimOf = (rotations: number): number =>
    (dim * Math.log(originalMaxPositions / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const [from, to] = [dimOf(betaFast), dimOf(betaSlow)];
  const low = Math.max(truncate ? Math.floor(from) : from, 0);
  let high = Math.min(truncate ? Math.ceil(to) : to, dim - 1);
  if (low === high) high += 0.001;
  return round(1 - Math.min(1, Math.max(0, round((i - low) / (high - low)))));
}

/** cos and sin for positions 0 to `positions` - 1. @throws UserError where the scaling has no table of so many */
export function ropeTables(config: RopeConfig, positions: number, modelDtype: Dtype = float32): RopeTables {
  const { scaling } = config;
  if (scaling?.kind === "dynamic" && positions > scaling.originalMaxPositions)
    throw new UserError(
      `rope_scaling.rope_type "dynamic" in config.json: sequences of more than max_position_embeddings (${scaling.originalMaxPositions}) tokens would each have frequencies of their own, which isn't supported; found ${positions}. Set training.seq_len to at most ${scaling.originalMaxPositions}, or give rope_scaling another type`,
      { exitCode: 2 },
    );
  const hasLong = scaling?.kind === "longrope" && positions > scaling.originalMaxPositions;
  const wide = modelDtype === float64;
  const round = wide ? (value: number): number => value : Math.fround;
  const sets = (hasLong ? [false, true] : [false]).map((isLong) => inverseFrequencies(config, round, isLong));
  const factor = scaling !== undefined && "attentionFactor" in scaling ? round(scaling.attentionFactor) : 1;
  const half = config.dim / 2;
  const cos = new Float64Array(sets.length * positions * half);
  const sin = new Float64Array(cos.length);
  let at = 0;
  for (const frequencies of sets) {
    for (let p = 0; p < positions; p++) {
      for (let i = 0; i < half; i++, at++) {
        const angle = round(p * frequencies[i]!);
        cos[at] = round(Math.cos(angle)) * factor;
        sin[at] = round(Math.sin(angle)) * factor;
      }
    }
  }
  const dtype = wide ? float64 : float32;
  const shape = [sets.length * positions, half];
  return {
    cos: fromTypedArray(cos, shape, { dtype }),
    sin: fromTypedArray(sin, shape, { dtype }),
    long: hasLong ? { beyond: scaling.originalMaxPositions, from: positions } : undefined,
    queryScale: queryScaleOf(config, positions, dtype),
  };
}

function queryScaleOf({ queryScaling }: RopeConfig, positions: number, dtype: Dtype): Tensor | undefined {
  if (queryScaling === undefined) return undefined;
  const { beta, originalMaxPositions } = queryScaling;
  const values = Float64Array.from(
    { length: positions },
    (_, p) => 1 + beta * Math.log(1 + Math.floor(p / originalMaxPositions)),
  );
  return fromTypedArray(values, [positions], { dtype });
}

/** Which rows of the tables the tokens of a sequence have: [T]. */
export function ropeRows({ long }: RopeTables, sequence: Sequence): Tensor {
  const { positions, lengths, documents = lengths, shard } = sequence;
  if (long === undefined) return positions;
  const isLong = (length: number): boolean => length > long.beyond;
  if (!documents.some(isLong)) return positions;
  if (documents.every(isLong)) return positions.add(long.from);
  if (shard !== undefined)
    throw new UserError(
      `parallelism.context_parallel_degree: this model's rotary embedding (longrope) differs between documents of up to ${long.beyond} tokens and longer ones, and both are in one sequence, which can't be divided so. Train on documents of one kind, or set context_parallel_degree to 1`,
      { exitCode: 2 },
    );
  const offsets = lengths.flatMap((length, i) =>
    Array.from({ length }, () => BigInt(isLong(documents[i]!) ? long.from : 0)),
  );
  const added = fromTypedArray(BigInt64Array.from(offsets), [offsets.length], { dtype: int64 });
  return positions.add(added.to(positions.device));
}
