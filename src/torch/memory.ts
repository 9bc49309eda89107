// How much memory tensors use, and what the CPU allocator keeps for the next step (native/core/memory.cc).
import { addon, check, f64 } from "./addon/addon.ts";
import { describe } from "./describe.ts";
import { device, type Device } from "./device.ts";

export interface MemoryStats {
  /** Tensor objects of this thread that are alive. */
  liveTensors: number;
  /** Bytes that tensors of the process hold on the device, the graph's saved ones included. */
  currentBytes: number;
  /** The most that `currentBytes` was since the last `resetPeakMemory()`. */
  peakBytes: number;
  /** Freed blocks that are kept for reuse. */
  cachedBytes: number;
  /** Big blocks asked of the system so far. */
  systemAllocations: number;
  /** Big blocks that were handed out again instead. */
  reusedAllocations: number;
}

/** Throws for anything but bytes. */
function bytesOf(fn: string, bytes: number): number {
  if (!(Number.isSafeInteger(bytes) && bytes >= 0))
    throw new RangeError(`${fn}: expected a whole number of bytes, found ${describe(bytes)}`);
  return bytes;
}

function command(code: number, value = 0, on: Device | string = "cpu"): MemoryStats {
  const where = device(on);
  const native = addon();
  f64[0] = code;
  f64[1] = value;
  f64[2] = where.code;
  f64[3] = where.index ?? -1;
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
 * Of the CPU's tensors, of those on an accelerator, or of those on `meta`: what they would hold if they had memory.
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
/** Makes the present the new peak. */
export function resetPeakMemory(on: Device | string = "cpu"): void {
  command(1, 0, on);
}
/** Gives kept blocks back to the system. */
export function emptyCache(on: Device | string = "cpu"): void {
  command(2, 0, on);
}
/**
 * The most bytes of freed blocks that the CPU allocator keeps; 0 turns keeping off. Default: a quarter of the
 * memory of the machine, or of its control group where that has less.
 */
export function setCacheLimit(bytes: number): void {
  command(3, bytesOf("setCacheLimit", bytes));
}
/**
 * The most bytes that CPU tensors of this process may hold together: an allocation beyond it throws an OutOfMemoryError,
 * where the system would rather end the process. 0: no limit, the default.
 */
export function setMemoryLimit(bytes: number): void {
  command(4, bytesOf("setMemoryLimit", bytes));
}

/**
 * Runs `body`; memory that the CPU allocator takes from the system meanwhile has pages of the usual size. Huge ones make
 * steps some percent faster, but in a virtual machine their first touch may cost five times as much: not worth it for
 * gigabytes that are filled while somebody waits for a run to begin.
 */
export function withoutHugePages<T>(body: () => T): T {
  command(5, 0);
  try {
    return body();
  } finally {
    command(5, 1);
  }
}
