// SmolLM3: Llama with layers that have no positions (NoPE, Yang et al. 2025, https://arxiv.org/abs/2501.18795).
import type { ConfigReader } from "./config-reader.ts";
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import { slidingWhere } from "./sliding-window.ts";

/** Of each layer whether positions are rotated: `no_rope_layers` says 1 where they are. */
function rotatedLayers(json: ConfigReader, numLayers: number): boolean[] {
  const every = json.size("no_rope_layer_interval", 4);
  const found =
    json.value("no_rope_layers") ??
    Array.from({ length: numLayers }, (_, layer) => ((layer + 1) % every === 0 ? 0 : 1));
  if (!Array.isArray(found) || found.length < numLayers || !found.every((one) => one === 0 || one === 1))
    return json.fail(
      `no_rope_layers: expected 0 or 1 for each of the ${numLayers} layers, found ${JSON.stringify(found)}`,
    );
  return found.slice(0, numLayers).map((one) => one === 1);
}

export const smollm3: Family = {
  modelType: "smollm3",
  models: "SmolLM3",
  differs: "layers without positions",
  read(json) {
    const bias = json.flag("attention_bias", false);
    const config = readDecoder(json, {
      kvHeads: 4,
      maxPositions: 32_768,
      ropeTheta: 2_000_000,
      tieEmbeddings: true,
    });
    const { numLayers } = config;
    const rotated = rotatedLayers(json, numLayers);
    const slides =
      json.flag("use_sliding_window", false) &&
      json.value("sliding_window") !== undefined &&
      json.value("sliding_window") !== null;
    return {
      ...config,
      qkvBias: bias,
      outputBias: bias,
      mlpBias: json.flag("mlp_bias", false),
      ropeOfLayer: rotated.map((one) => (one ? 0 : null)),
      ...(slides && slidingWhere(json, numLayers, undefined, (layer) => !rotated[layer]!)),
    };
  },
  flavors: { smollm3: { "3B": flavor(2048, 36, 16, 4, 11008, 128256, { tied: true }) } },
};
