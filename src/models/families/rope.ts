// Rotary embeddings as config.json has them: base, share of a head, scaling. Tables are made elsewhere (nn's rope).
import type { ConfigReader } from "./config-reader.ts";
import type { RopeConfig, RopeScaling } from "./model-config.ts";

export interface RopeDefaults {
  /** Of the family, where config.json has none. */
  readonly theta: number;
  readonly headDim: number;
  /** See partial_rotary_factor. */
  readonly partial: number;
  readonly maxPositions: number;
}

type Json = Readonly<Record<string, unknown>>;

/** One for all layers. Transformers 5 keeps theta and scaling together under rope_parameters. */
export function readRope(json: ConfigReader, defaults: RopeDefaults): RopeConfig {
  const object = (json.value("rope_parameters") ?? json.value("rope_scaling") ?? {}) as Json;
  return ropeOf(json, object, "rope_scaling.", {
    ...defaults,
    theta: json.number("rope_theta", numberIn(object, "rope_theta") ?? defaults.theta),
  });
}

/**
 * Of layers that slide and of the others: `rope_parameters.sliding_attention` and `.full_attention` in Transformers 5. Before,
 * rope_scaling was that of the others alone.
 * @param local base of layers that slide: the key that names it in older files, and without that
 */
export function readRopes(
  json: ConfigReader,
  local: readonly [key: string | undefined, fallback: number],
  defaults: RopeDefaults,
): [full: RopeConfig, sliding: RopeConfig] {
  const both = json.value("rope_parameters") as Json | null | undefined;
  const isNew = both !== undefined && both !== null && "full_attention" in both;
  const full = (isNew ? both["full_attention"] : (both ?? json.value("rope_scaling") ?? {})) as Json;
  const sliding = (isNew ? (both["sliding_attention"] ?? {}) : {}) as Json;
  const [key, fallback] = local;
  const globalTheta = numberIn(full, "rope_theta") ?? json.number("rope_theta", defaults.theta);
  const localTheta =
    numberIn(sliding, "rope_theta") ?? (key === undefined ? fallback : json.number(key, fallback));
  return [
    ropeOf(json, full, "rope_parameters.full_attention.", { ...defaults, theta: globalTheta }),
    ropeOf(json, sliding, "rope_parameters.sliding_attention.", { ...defaults, theta: localTheta }),
  ];
}

const numberIn = (object: Json, key: string): number | undefined =>
  typeof object[key] === "number" ? object[key] : undefined;

export function ropeOf(
  json: ConfigReader,
  object: Json,
  prefix: string,
  { theta, headDim, partial, maxPositions }: RopeDefaults,
): RopeConfig {
  const share = json.value("partial_rotary_factor") ?? object["partial_rotary_factor"] ?? partial;
  const dim = typeof share === "number" ? Math.trunc(headDim * share) : Number.NaN;
  if (!(dim > 0 && dim <= headDim && dim % 2 === 0))
    json.fail(
      `partial_rotary_factor: expected a share of head_dim (${headDim}) that is an even number of dimensions, found ${JSON.stringify(share)}`,
    );
  return { dim, theta, scaling: scalingOf(json.inside(object, prefix), json, dim, maxPositions) };
}

function scalingOf(
  rope: ConfigReader,
  json: ConfigReader,
  dim: number,
  maxPositions: number,
): RopeScaling | undefined {
  const kind = (rope.value("rope_type") ?? rope.value("type") ?? "default") as string;
  const original = (fallback: number): number =>
    rope.number(
      "original_max_position_embeddings",
      json.number("original_max_position_embeddings", fallback),
    );
  /** Phi-3 and DeepSeek leave the factor out. */
  const ratio = (): number => rope.number("factor", maxPositions / original(maxPositions));
  switch (kind) {
    case "default":
      return undefined;
    case "linear":
      return { kind, factor: rope.number("factor") };
    case "dynamic":
      return { kind, factor: rope.number("factor"), originalMaxPositions: maxPositions };
    case "llama3":
      return {
        kind,
        factor: rope.number("factor"),
        lowFreqFactor: rope.number("low_freq_factor"),
        highFreqFactor: rope.number("high_freq_factor"),
        originalMaxPositions: original(maxPositions),
      };
    case "yarn": {
      const factor = ratio();
      return {
        kind,
        factor,
        betaFast: rope.number("beta_fast", 32),
        betaSlow: rope.number("beta_slow", 1),
        truncate: rope.flag("truncate", true),
        attentionFactor: yarnAttention(rope, factor),
        originalMaxPositions: original(maxPositions),
      };
    }
    case "longrope":
    case "su": {
      const originalMaxPositions = original(maxPositions);
      const factor = ratio();
      const grown = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalMaxPositions));
      return {
        kind: "longrope",
        shortFactor: factorsOf(rope, "short_factor", dim / 2),
        longFactor: factorsOf(rope, "long_factor", dim / 2),
        attentionFactor: rope.number("attention_factor", grown),
        originalMaxPositions,
      };
    }
    default:
      return rope.fail(
        `rope_type: expected default, linear, dynamic, yarn, longrope or llama3, found ${JSON.stringify(kind)}`,
      );
  }
}

/** Of a scale: what Peng et al. 2023 (YaRN) multiply queries and keys by. */
export const yarnScale = (factor: number, mscale = 1): number =>
  factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1;

function yarnAttention(rope: ConfigReader, factor: number): number {
  const [mscale, all] = [rope.number("mscale", 0), rope.number("mscale_all_dim", 0)];
  const own = mscale && all ? yarnScale(factor, mscale) / yarnScale(factor, all) : yarnScale(factor);
  return rope.number("attention_factor", own);
}

function factorsOf(rope: ConfigReader, key: string, count: number): number[] {
  const found = rope.value(key);
  if (!Array.isArray(found) || found.length !== count || !found.every((one) => typeof one === "number"))
    return rope.fail(
      `${key}: expected ${count} numbers, one for each pair of dimensions, found ${JSON.stringify(found)}`,
    );
  return found;
}
