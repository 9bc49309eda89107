// Where our own CUDA kernels are compiled from and kept: native/cuda reads their sources when a device first needs them. Told once
// the addon is there, at the cost of one call.
import { join } from "node:path";

import { nativeDir } from "../setup/index.ts";
import { cacheDir } from "../util/index.ts";
import { whenLoaded } from "./addon/addon.ts";
import * as wire from "./addon/wire.ts";

const folders = new wire.Op("forge::cuda_folders", "");
const use = new wire.Op("forge::cuda_use", "");

whenLoaded(() => {
  const p = wire.str(wire.begin(folders), join(nativeDir, "cuda", "kernels"), "kernels");
  wire.str(p, join(cacheDir(), "kernels"), "cache");
  wire.finish();
});

/** False: CUDA devices run compositions of libtorch's operators from now on, to compare with. */
export function useCudaKernels(on: boolean): void {
  wire.bool(wire.begin(use), on, "on");
  wire.finish();
}
