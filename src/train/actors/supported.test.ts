import assert from "node:assert/strict";
import { test } from "node:test";

import { Config } from "../../config/index.ts";
import { refuseWithoutGpu } from "./supported.ts";

const configOf = (withGpus: boolean): Config =>
  Config.create({ model: { hf_assets_path: "m" }, processes: { with_gpus: withGpus } });

void test("a machine without any GPU is told apart before a process is started", () => {
  const refused = {
    name: "UserError",
    exitCode: 2,
    message:
      /^processes\.with_gpus: expected a GPU, found none on this machine .*set processes\.with_gpus: false/,
  };
  assert.throws(() => refuseWithoutGpu(configOf(true), () => false, "linux"), refused);
  refuseWithoutGpu(configOf(true), (path) => path === "/dev/nvidiactl", "linux");
  refuseWithoutGpu(configOf(false), () => false, "linux");
  // Devices are looked for on Linux alone.
  refuseWithoutGpu(configOf(true), () => false, "darwin");
});
