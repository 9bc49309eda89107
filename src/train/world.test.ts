import assert from "node:assert/strict";
import { test } from "node:test";

import { localDevice } from "../torch/index.ts";
import { hasGpu } from "./world.ts";

test("a process's GPU is its local rank's, or the only one that its launcher lets it see", () => {
  assert.equal(localDevice(3, 8), 3);
  assert.equal(localDevice(3, 1), 0); // srun --gpus-per-task=1
  const place = { localRank: 3, localWorldSize: 8 };
  const launched = { ...place, isLaunched: true };
  assert.equal(hasGpu(launched, 8, {}), true);
  assert.equal(hasGpu(launched, 1, { CUDA_VISIBLE_DEVICES: "0" }), true);
  assert.equal(hasGpu({ ...launched, localRank: 0 }, 1, {}), true);
  // One GPU for all of them.
  assert.equal(hasGpu(launched, 1, {}), false);
  assert.equal(hasGpu({ ...place, isLaunched: false }, 1, { CUDA_VISIBLE_DEVICES: "0" }), false);
  assert.equal(hasGpu(launched, 2, { CUDA_VISIBLE_DEVICES: "0,1" }), false);
  assert.equal(hasGpu(launched, 0, { CUDA_VISIBLE_DEVICES: "0" }), false);
});
