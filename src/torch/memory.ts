// Memory statistics of tensors, and settings of the caching CPU allocator (native/core/memory.cc).
import { addon, check, f64 } from "./addon/addon.ts";
import { describe } from "./describe.ts";
import { device, type Device } from "./device.ts";

export interface MemoryStats {
  /** Live Tensor objects of this thread. */
  liveTensors: number;
  /** Bytes held by the process's tensors on the device, including those saved for backward. */
  currentBytes: number;
  /** The maximum of `currentBytes` since the last `resetPeakMemory()`. */
  peakBytes: number;
  /** Bytes of freed blocks that the allocator keeps for reuse. */
  cachedBytes: number;
  /** Large blocks allocated from the system so far. */
  systemAllocations: number;
  /** Large allocations served from the cache so far. */
  reusedAllocations: number;
}

/** @throws RangeError for anything but a whole number of bytes */
function checkBytes(fn: string, bytes: number): number {
  if (!(Number.isSafeInteger(bytes) && bytes >= 0))
    throw new RangeError(`${fn}: expected a whole number of bytes, found ${describe(bytes)}`);
  return bytes;
}

function command(code: number, value = 0, on: Device | string = "cpu"): MemoryStats {
  const target = device(on);
  const native = addon();
  f64[0] = code;
  f64[1] = value;
  f64[2] = target.code;
  f64[3] = target.index ?? -1;
  check(native.memory());
  return {
    liveTensors: f64[0],
    currentBytes: f64[1],
    peakBytes: f64[2],
    cachedBytes: f64[3],
    systemAllocations: f64[4]!,
    reusedAllocations: f64[5]!,
  };
}

/**
 * Statistics of the CPU, an accelerator, or `meta`, whose tensors count as if they had memory.
 *
 * @example
 * ```ts
 * import { memoryStats, resetPeakMemory, zeros } from "torchforge/torch";
 *
 * resetPeakMemory();
 * using block = zeros([1024, 1024]);
 * console.log(memoryStats().peakBytes >= block.numel() * 4); // true
 * ```
 */
export function memoryStats(on: Device | string = "cpu"): MemoryStats {
  return command(0, 0, on);
}
/** Sets the peak to the current value. */
export function resetPeakMemory(on: Device | string = "cpu"): void {
  command(1, 0, on);
}
/** Returns cached blocks to the system. */
export function emptyCache(on: Device | string = "cpu"): void {
  command(2, 0, on);
}
/**
 * Limits the bytes of freed blocks that the CPU allocator keeps; 0 turns the cache off. Default: a quarter of the machine's
 * memory, or of its control group's limit if that is lower.
 */
export function setCacheLimit(bytes: number): void {
  command(3, checkBytes("setCacheLimit", bytes));
}
/**
 * Limits the total bytes of this process's CPU tensors: an allocation beyond the limit throws an OutOfMemoryError, before the
 * system kills the process. 0, the default: no limit.
 */
export function setMemoryLimit(bytes: number): void {
  command(4, checkBytes("setMemoryLimit", bytes));
}

/**
 * Runs `body` with huge pages turned off in the CPU allocator. Huge pages make steps a few percent faster, but in a virtual
 * machine their first touch can cost five times as much, which delays the start of a run that fills gigabytes.
 */
export function withoutHugePages<T>(body: () => T): T {
  command(5, 0);
  try {
    return body();
  } finally {
    command(5, 1);
  }
}
