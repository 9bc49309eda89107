// The number of intra-op threads: how many cores one operator uses.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

import { addon, check, f64, isLoaded, whenLoaded } from "./addon/addon.ts";
import { describe } from "./describe.ts";

/** The number of physical cores, if the system reports it; hyper-threads don't help matrix products. */
export function physicalCores(): number {
  const logical = availableParallelism();
  try {
    const cores = new Set<string>();
    let socket = "0";
    for (const line of readFileSync("/proc/cpuinfo", "utf8").split("\n")) {
      const [key, value] = line.split(":").map((part) => part.trim());
      if (key === "physical id") socket = value!;
      if (key === "core id") cores.add(`${socket}/${value}`);
    }
    return cores.size > 0 ? Math.min(cores.size, logical) : logical;
  } catch {
    return logical;
  }
}

/**
 * The default number of threads: OMP_NUM_THREADS if set, else the physical cores divided by the ranks on this machine
 * (LOCAL_WORLD_SIZE), at least 1.
 */
export function defaultThreads(): number {
  const fromEnv = Number(process.env["OMP_NUM_THREADS"]);
  if (Number.isInteger(fromEnv) && fromEnv > 0) return fromEnv;
  const ranks = Math.max(1, Number(process.env["LOCAL_WORLD_SIZE"]) || 1);
  return Math.max(1, Math.floor(physicalCores() / ranks));
}

let requestedThreads: number | undefined;

/**
 * Sets the number of intra-op threads. Before the first operation, it takes effect when libtorch is loaded.
 *
 * @example
 * ```ts
 * import { getNumThreads, setNumThreads } from "torchforge/torch";
 *
 * setNumThreads(1);
 * console.log(getNumThreads()); // 1
 * ```
 */
export function setNumThreads(n: number): void {
  if (!(Number.isInteger(n) && n >= 1 && n <= 4096))
    throw new RangeError(`setNumThreads: expected a whole number from 1 to 4096, found ${describe(n)}`);
  requestedThreads = n;
  if (isLoaded()) command(n);
}

export function getNumThreads(): number {
  return command(0);
}

function command(n: number): number {
  const native = addon();
  f64[0] = n;
  check(native.threads());
  return f64[0];
}

whenLoaded(() => void command(requestedThreads ?? defaultThreads()));

/** From now on, operators without a deterministic implementation throw (or warn). */
export function useDeterministicAlgorithms(on: boolean, options: { warnOnly?: boolean } = {}): void {
  // cuBLAS needs this for determinism, and reads it at its initialization.
  if (on) process.env["CUBLAS_WORKSPACE_CONFIG"] ??= ":4096:8";
  const native = addon();
  f64[0] = on ? 1 : 0;
  f64[1] = options.warnOnly ? 1 : 0;
  check(native.deterministic());
}
