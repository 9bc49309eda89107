// Free memory and disk of the machine. Starts no processes.
import { readFileSync, statfsSync } from "node:fs";
import { freemem } from "node:os";
import { dirname } from "node:path";

/** Bytes available to a new process: MemAvailable, capped by the container's limit (cgroup v2). */
export function availableMemory(): number {
  let available = freemem();
  try {
    const kib = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1];
    if (kib !== undefined) available = Number(kib) * 1024;
  } catch {
    // not Linux
  }
  try {
    const limit = Number(readFileSync("/sys/fs/cgroup/memory.max", "utf8"));
    const used = Number(readFileSync("/sys/fs/cgroup/memory.current", "utf8"));
    const reclaimable = Number(
      /^inactive_file (\d+)/m.exec(readFileSync("/sys/fs/cgroup/memory.stat", "utf8"))?.[1] ?? 0,
    );
    if (Number.isFinite(limit)) available = Math.min(available, limit - used + reclaimable);
  } catch {
    // no cgroup v2, or no limit ("max" is not a number)
  }
  return available;
}

/** Bytes free for this user on the file system of `path`, or of its first parent that exists. */
export function freeDisk(path: string): number {
  for (let folder = path; ; folder = dirname(folder)) {
    try {
      const { bavail, bsize } = statfsSync(folder);
      return bavail * bsize;
    } catch (error) {
      if (folder === dirname(folder)) throw error;
    }
  }
}
