// OLMo 3: OLMo 2 with a sliding window in three of four layers; rotary scaling concerns the others alone.
import { flavor, type Family } from "./family.ts";
import { readOlmo } from "./olmo2.ts";
import { readRopes } from "./rope.ts";
import { slidingWhere } from "./sliding-window.ts";

export const olmo3: Family = {
  modelType: "olmo3",
  models: "OLMo 3",
  differs: "OLMo 2 with a sliding window in three of four layers",
  read(json) {
    const config = readOlmo(json, 500_000);
    const sliding = slidingWhere(json, config.numLayers, 4096, (layer) => (layer + 1) % 4 !== 0);
    const ropes = readRopes(json, ["rope_theta", 500_000], {
      theta: 500_000,
      headDim: config.headDim,
      partial: 1,
      maxPositions: config.maxPositions,
    });
    return { ...config, ...sliding, ropes, ropeOfLayer: sliding.slidingLayers.map(Number) };
  },
  flavors: {
    olmo3: {
      "7B": flavor(4096, 32, 32, 32, 11008, 100278),
      "32B": flavor(5120, 64, 40, 8, 27648, 100278),
    },
  },
};
