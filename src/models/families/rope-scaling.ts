// The base and the scaling of rotary frequencies, as config.json has them. Tables are made elsewhere (nn's rope).
import type { ConfigReader } from "./config-reader.ts";
import type { ModelConfig } from "./model-config.ts";

/** @param theta of the family, where config.json has none */
export function readRope(
  json: ConfigReader,
  theta: number,
  maxPositions: number,
): Pick<ModelConfig, "ropeTheta" | "ropeScaling"> {
  // Transformers 5 keeps theta and scaling together under rope_parameters.
  const object = (json.value("rope_parameters") ?? json.value("rope_scaling") ?? {}) as Record<
    string,
    unknown
  >;
  const inner = object["rope_theta"];
  const partial = json.value("partial_rotary_factor") ?? object["partial_rotary_factor"] ?? 1;
  if (partial !== 1) json.fail(`partial_rotary_factor: expected 1, found ${JSON.stringify(partial)}`);
  return {
    ropeTheta: json.number("rope_theta", typeof inner === "number" ? inner : theta),
    ropeScaling: scalingOf(json.inside(object, "rope_scaling."), maxPositions),
  };
}

function scalingOf(rope: ConfigReader, maxPositions: number): ModelConfig["ropeScaling"] {
  const kind = rope.value("rope_type") ?? rope.value("type") ?? "default";
  if (kind === "default") return undefined;
  if (kind === "linear") return { kind, factor: rope.number("factor") };
  if (kind === "llama3") {
    return {
      kind,
      factor: rope.number("factor"),
      lowFreqFactor: rope.number("low_freq_factor"),
      highFreqFactor: rope.number("high_freq_factor"),
      originalMaxPositions: rope.number("original_max_position_embeddings", maxPositions),
    };
  }
  return rope.fail(`rope_type: expected default, linear or llama3, found ${JSON.stringify(kind)}`);
}
