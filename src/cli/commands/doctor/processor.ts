// Model, cores and vector instructions of the processor, from the operating system: for when libtorch can't be loaded, which
// otherwise reports what it uses (probe.ts).
import { readFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";

export interface Processor {
  readonly model: string;
  /** Cores without hyper-threads, which determine the default number of threads. */
  readonly physicalCores: number;
  readonly logicalCores: number;
  /** libtorch's name for the best kernels that this processor supports: AVX512, AVX2, SVE256 or DEFAULT. */
  readonly capability: string;
  /** bf16 matrix instructions: amx_bf16, avx512_bf16, bf16 (Arm). Empty if bf16 is emulated in fp32. */
  readonly bf16: readonly string[];
}

export function processor(cpuinfo: string = readCpuinfo()): Processor {
  const flags = new Set(/^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuinfo)?.[1]?.split(/\s+/) ?? []);
  return {
    model: /^model name\s*:\s*(.*)$/m.exec(cpuinfo)?.[1]?.trim() ?? cpus()[0]?.model.trim() ?? "unknown",
    physicalCores: countCores(cpuinfo),
    logicalCores: availableParallelism(),
    capability: capabilityOf(flags),
    bf16: ["amx_bf16", "avx512_bf16", "bf16", "svebf16"].filter((flag) => flags.has(flag)),
  };
}

/** Same choice as at::get_cpu_capability. */
function capabilityOf(flags: ReadonlySet<string>): string {
  const all = (...names: string[]) => names.every((name) => flags.has(name));
  if (all("avx512f", "avx512vl", "avx512bw", "avx512dq", "fma")) return "AVX512";
  if (all("avx2", "fma")) return "AVX2";
  if (all("sve2", "bf16")) return "SVE256";
  return "DEFAULT";
}

function countCores(cpuinfo: string): number {
  const cores = new Set<string>();
  for (const block of cpuinfo.split(/\n\s*\n/)) {
    const core = /^core id\s*:\s*(\d+)/m.exec(block)?.[1];
    const socket = /^physical id\s*:\s*(\d+)/m.exec(block)?.[1];
    if (core !== undefined) cores.add(`${socket ?? 0}:${core}`);
  }
  const allowed = availableParallelism();
  return cores.size === 0 ? allowed : Math.min(cores.size, allowed);
}

function readCpuinfo(): string {
  try {
    return readFileSync("/proc/cpuinfo", "utf8");
  } catch {
    return "";
  }
}
