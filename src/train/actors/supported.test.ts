import assert from "node:assert/strict";
import { test } from "node:test";

import { Config, type RunSpec } from "../../config/index.ts";
import { refuseWithoutGpu } from "./supported.ts";

const specOf = (withGpus: boolean): RunSpec =>
  Config.create({ model: { hf_assets_path: "m" }, processes: { with_gpus: withGpus } }).spec;

void test("a machine without any GPU is told apart before a process is started", () => {
  const refused = {
    name: "UserError",
    exitCode: 2,
    message:
      /^processes\.with_gpus: expected a GPU, found none on this machine .*set processes\.with_gpus: false/,
  };
  assert.throws(() => refuseWithoutGpu(specOf(true), () => false, "linux"), refused);
  refuseWithoutGpu(specOf(true), (path) => path === "/dev/nvidiactl", "linux");
  refuseWithoutGpu(specOf(false), () => false, "linux");
  // Devices are looked for on Linux alone.
  refuseWithoutGpu(specOf(true), () => false, "darwin");
});
