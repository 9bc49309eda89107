// Which layers of a decoder see only the last tokens, and how many.
import type { ConfigReader } from "./config-reader.ts";
import type { ModelConfig } from "./model-config.ts";

type SlidingWindow = Pick<ModelConfig, "slidingWindow" | "slidingLayers">;

/** No layer has a window. */
export function fullAttention(numLayers: number): SlidingWindow {
  return { slidingWindow: undefined, slidingLayers: Array.from({ length: numLayers }, () => false) };
}

/** All layers have the window of `sliding_window`; null says that there is none, a missing key leaves it to the family. */
export function slidingInAllLayers(json: ConfigReader, numLayers: number, fallback?: number): SlidingWindow {
  if (json.value("sliding_window") === null) return fullAttention(numLayers);
  return {
    slidingWindow: json.size("sliding_window", fallback),
    slidingLayers: Array.from({ length: numLayers }, () => true),
  };
}

/** As layer_types says, or the layers from `max_window_layers` on (Qwen). */
export function slidingByLayer(json: ConfigReader, numLayers: number, fallback: number): SlidingWindow {
  const from = json.value("max_window_layers") ?? 28;
  if (typeof from !== "number")
    return json.fail(`max_window_layers: expected a number, found ${JSON.stringify(from)}`);
  return slidingWhere(json, numLayers, fallback, (layer) => layer >= from);
}

/**
 * As layer_types says, or without it as the family does.
 * @param window tokens, where config.json has no sliding_window
 */
export function slidingWhere(
  json: ConfigReader,
  numLayers: number,
  window: number | undefined,
  slides: (layer: number) => boolean,
): SlidingWindow {
  const all = slidingInAllLayers(json, numLayers, window);
  if (all.slidingWindow === undefined) return all;
  const slidingLayers = layersOf(json, numLayers) ?? all.slidingLayers.map((_, layer) => slides(layer));
  return { ...all, slidingLayers };
}

/** Whether each layer slides, by layer_types; undefined without it. */
function layersOf(json: ConfigReader, numLayers: number): boolean[] | undefined {
  const kinds = json.value("layer_types") ?? undefined;
  if (kinds === undefined) return undefined;
  if (!Array.isArray(kinds) || kinds.length !== numLayers)
    return json.fail(
      `layer_types: expected one for each of the ${numLayers} layers, found ${JSON.stringify(kinds)}`,
    );
  const known = ["full_attention", "sliding_attention"];
  for (const kind of kinds as unknown[]) {
    if (!known.includes(kind as string))
      json.fail(`layer_types: expected ${known.join(" or ")}, found ${JSON.stringify(kind)}`);
  }
  return kinds.map((kind) => kind === "sliding_attention");
}
