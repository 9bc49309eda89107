// Intra-op threads: how many cores one operator uses.
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

import { addon, check, f64, isLoaded, whenLoaded } from "./addon/addon.ts";
import { describe } from "./describe.ts";

/** Physical cores, as far as the system tells; hyper-threads don't help matrix products. */
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
 * The default number of threads: OMP_NUM_THREADS where it is set, else physical cores divided by the ranks on this
 * machine (LOCAL_WORLD_SIZE), at least 1.
 */
export function defaultThreads(): number {
  const asked = Number(process.env["OMP_NUM_THREADS"]);
  if (Number.isInteger(asked) && asked > 0) return asked;
  const ranks = Math.max(1, Number(process.env["LOCAL_WORLD_SIZE"]) || 1);
  return Math.max(1, Math.floor(physicalCores() / ranks));
}

let wanted: number | undefined;

/**
 * Sets the number of intra-op threads; before the first operation it takes effect when libtorch is loaded.
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
  wanted = n;
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

whenLoaded(() => void command(wanted ?? defaultThreads()));

let deterministic = false;

/** What `useDeterministicAlgorithms` was last told. */
export function deterministicAlgorithms(): boolean {
  return deterministic;
}

/** Operators without a deterministic form raise an error (or warn) from now on. */
export function useDeterministicAlgorithms(on: boolean, options: { warnOnly?: boolean } = {}): void {
  // What cuBLAS wants for it, and reads when it starts.
  if (on) process.env["CUBLAS_WORKSPACE_CONFIG"] ??= ":4096:8";
  deterministic = on;
  const native = addon();
  f64[0] = on ? 1 : 0;
  f64[1] = options.warnOnly ? 1 : 0;
  check(native.deterministic());
}
