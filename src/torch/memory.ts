// How much memory tensors use, and what the CPU allocator keeps for the next step (native/core/memory.cc).
import { addon, check, f64 } from "./addon.ts";

export interface MemoryStats {
  /** Tensor objects of this thread that are alive. */
  liveTensors: number;
  /** Bytes that CPU tensors of the process hold, the graph's saved ones included. */
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

function command(code: number, value = 0): MemoryStats {
  const native = addon();
  f64[0] = code;
  f64[1] = value;
  check(native.memory());
  return {
    liveTensors: f64[0],
    currentBytes: f64[1],
    peakBytes: f64[2]!,
    cachedBytes: f64[3]!,
    systemAllocations: f64[4]!,
    reusedAllocations: f64[5]!,
  };
}

export function memoryStats(): MemoryStats {
  return command(0);
}
/** Makes the present the new peak. */
export function resetPeakMemory(): void {
  command(1);
}
/** Gives kept blocks back to the system. */
export function emptyCache(): void {
  command(2);
}
/**
 * The most bytes of freed blocks that the CPU allocator keeps; 0 turns keeping off. Default: a quarter of the
 * machine's memory.
 */
export function setCacheLimit(bytes: number): void {
  if (!(Number.isSafeInteger(bytes) && bytes >= 0))
    throw new RangeError(`setCacheLimit: expected bytes, found ${bytes}`);
  command(3, bytes);
}
