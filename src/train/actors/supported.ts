// What actors of training refuse before anything is started or loaded.
import { existsSync } from "node:fs";

import type { Config, RunSpec } from "../../config/index.ts";
import { UserError } from "../../util/index.ts";

/** Where drivers show GPUs: NVIDIA's, those of WSL and of Jetson, AMD's. */
const gpuDevices = ["/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/nvmap", "/dev/kfd"];

/**
 * What a machine without any GPU shows at once. How many there are, and whether libtorch can use them, the workers find out.
 * @throws UserError
 */
export function refuseWithoutGpu(
  { withGpus }: RunSpec,
  exists: (path: string) => boolean = existsSync,
  platform: string = process.platform,
): void {
  if (!withGpus || platform !== "linux" || gpuDevices.some(exists)) return;
  throw new UserError(
    "processes.with_gpus: expected a GPU, found none on this machine (no device of a GPU driver under /dev). " +
      "Install the driver (npx torchforge doctor says what is found), or set processes.with_gpus: false (leave out --gpu) to compute on the CPU.",
    { exitCode: 2 },
  );
}

/**
 * Actors refuse what isn't supported also when the configuration was made to allow it.
 * @throws UserError naming every key whose value isn't supported yet
 */
export function refuseUnsupported(config: Config): void {
  const { unsupported } = config;
  if (unsupported.length > 0) throw new UserError(unsupported.join("\n"), { exitCode: 2 });
}
