import assert from "node:assert/strict";
import { test } from "node:test";

import { localDevice } from "../torch/index.ts";
import { hasGpu } from "./world.ts";

test("a process's GPU is its local rank's, or the only one that its launcher lets it see", () => {
  assert.equal(localDevice(3, 8), 3);
  assert.equal(localDevice(3, 2), 1); // shared, with Gloo
  assert.equal(localDevice(3, 1), 0); // srun --gpus-per-task=1
  const place = { localRank: 3, localWorldSize: 8 };
  const launched = { ...place, isLaunched: true };
  assert.equal(hasGpu(launched, 8, "nccl", {}), true);
  assert.equal(hasGpu(launched, 1, "nccl", { CUDA_VISIBLE_DEVICES: "0" }), true);
  assert.equal(hasGpu({ ...launched, localRank: 0 }, 1, "nccl", {}), true);
  // One GPU for all of them.
  assert.equal(hasGpu(launched, 1, "nccl", {}), false);
  assert.equal(hasGpu({ ...place, isLaunched: false }, 1, "nccl", { CUDA_VISIBLE_DEVICES: "0" }), false);
  assert.equal(hasGpu(launched, 2, "nccl", { CUDA_VISIBLE_DEVICES: "0,1" }), false);
  assert.equal(hasGpu(launched, 0, "nccl", { CUDA_VISIBLE_DEVICES: "0" }), false);
  assert.equal(hasGpu(launched, 1, "gloo", {}), true);
  assert.equal(hasGpu(launched, 0, "gloo", {}), false);
});
