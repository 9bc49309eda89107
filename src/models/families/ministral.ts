// Ministral 8B: Mistral with a sliding window in the layers that layer_types names.
import { readDecoder } from "./decoder-config.ts";
import { flavor, type Family } from "./family.ts";
import { slidingWhere } from "./sliding-window.ts";

export const ministral: Family = {
  modelType: "ministral",
  models: "Ministral",
  differs: "a sliding window in some layers",
  read(json) {
    const config = readDecoder(json, { kvHeads: 8, maxPositions: 131_072 });
    return { ...config, ...slidingWhere(json, config.numLayers, 4096, () => true) };
  },
  flavors: {
    ministral: {
      "8B": flavor(4096, 36, 32, 8, 12288, 131072, { json: { head_dim: 128, sliding_window: 32_768 } }),
    },
  },
};
