// Information about the loaded libtorch, and control of its devices.
import { addon, check, f64 } from "./addon/addon.ts";
import { device, type Device } from "./device.ts";

/** The loaded libtorch. */
export interface TorchInfo {
  /** For example `2.13.0`. */
  torchVersion: string;
  /** The CPU kernels in use: `AVX2`, `AVX512`, `DEFAULT`, `NO AVX` … */
  cpuCapability: string;
  /** Intra-op threads. */
  threads: number;
  hasMkl: boolean;
  hasMkldnn: boolean;
  hasCuda: boolean;
  /** `cuda`, `mps`, `xpu` …; null if there is none. */
  accelerator: string | null;
  deviceCount: number;
  parallelInfo: string;
}

/**
 * The version and capabilities of the loaded libtorch, and the accelerator that it sees.
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
 * Sets the process's current device: what `cuda` without an index means, and where libraries such as NCCL start.
 * @throws TorchError if there is no such device
 */
export function setDevice(to: Device | string): void {
  const target = device(to);
  const native = addon();
  f64[0] = target.code;
  f64[1] = target.index ?? -1;
  check(native.deviceSet());
}

/** Waits until a device has finished all queued work. Does nothing on the CPU. */
export function synchronize(on: Device | string): void {
  const target = device(on);
  // Meta tensors have no queue.
  if (target.type === "meta") return;
  const native = addon();
  f64[0] = target.code;
  f64[1] = target.index ?? -1;
  check(native.synchronize());
}
