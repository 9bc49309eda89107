// Checks whether another process of this machine is running.
import { readFileSync } from "node:fs";

/** A zombie (a process that has ended but was not waited for) counts as dead, a process of another user as alive. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !["Z", "X"].includes(stat.charAt(stat.lastIndexOf(")") + 2));
  } catch {
    return true; // no /proc on this system
  }
}
