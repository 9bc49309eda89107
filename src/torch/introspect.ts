// What this libtorch is and has. For forge doctor and the operator generator.
import { addon, check, f64 } from "./addon/addon.ts";
import { device, type Device } from "./device.ts";

/** Facts about the loaded libtorch. */
export interface TorchInfo {
  /** For example `2.13.0`. */
  torchVersion: string;
  /** `AVX2`, `AVX512`, `DEFAULT`, `NO AVX` … : the kernels in use. */
  cpuCapability: string;
  /** Intra-op threads. */
  threads: number;
  hasMkl: boolean;
  hasMkldnn: boolean;
  hasCuda: boolean;
  /** `cuda`, `mps`, `xpu` …; null where there is none. */
  accelerator: string | null;
  deviceCount: number;
  parallelInfo: string;
}

/**
 * What this libtorch is, and which accelerator it sees.
 *
 * @example
 * ```ts
 * import { info } from "torchforge/torch";
 *
 * const { torchVersion, accelerator } = info();
 * console.log(torchVersion, accelerator);
 * ```
 */
export function info(): TorchInfo {
  return JSON.parse(addon().info()) as TorchInfo;
}

export { addon };

/**
 * Makes a device the one that `cuda` without an index means in this process, and that libraries such as NCCL start on.
 * @throws TorchError where there is no such device
 */
export function setDevice(to: Device | string): void {
  const where = device(to);
  const native = addon();
  f64[0] = where.code;
  f64[1] = where.index ?? -1;
  check(native.deviceSet());
}

/** Waits until a device has done all work that was given to it; nothing on the CPU. */
export function synchronize(on: Device | string): void {
  const where = device(on);
  // What has no memory has nothing under way.
  if (where.type === "meta") return;
  const native = addon();
  f64[0] = where.code;
  f64[1] = where.index ?? -1;
  check(native.synchronize());
}
