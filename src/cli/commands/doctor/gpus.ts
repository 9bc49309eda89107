// Lists NVIDIA GPUs with nvidia-smi, which works without libtorch. Ignores CUDA_VISIBLE_DEVICES.
import { spawnSync } from "node:child_process";

export interface Gpu {
  readonly index: number;
  readonly name: string;
  readonly totalBytes: number;
  readonly freeBytes: number;
  readonly driver: string;
}

export function gpus(env: NodeJS.ProcessEnv): Gpu[] {
  const run = spawnSync(
    "nvidia-smi",
    ["--query-gpu=index,name,memory.total,memory.free,driver_version", "--format=csv,noheader,nounits"],
    { encoding: "utf8", env, timeout: 15_000, stdio: ["ignore", "pipe", "ignore"] },
  );
  return run.status === 0 ? parseGpus(run.stdout) : [];
}

export function parseGpus(csv: string): Gpu[] {
  return csv
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [index, name, total, free, driver] = line.split(",").map((cell) => cell.trim());
      return {
        index: Number(index),
        name: name ?? "",
        totalBytes: Number(total) * 2 ** 20,
        freeBytes: Number(free) * 2 ** 20,
        driver: driver ?? "",
      };
    });
}
