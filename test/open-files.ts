// Which files and threads this process has open, as Linux tells. For tests that nothing is left behind.
import { readdirSync, readlinkSync, realpathSync } from "node:fs";

/** Paths of the open files under a folder, one for each descriptor. */
export function openFilesIn(folder: string): string[] {
  const root = realpathSync(folder);
  return readdirSync("/proc/self/fd")
    .map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return ""; // closed meanwhile: that of the listing itself
      }
    })
    .filter((path) => path.startsWith(`${root}/`))
    .sort();
}

/** Threads of this process, those of Node and of libraries among them. */
export const threadCount = (): number => readdirSync("/proc/self/task").length;
