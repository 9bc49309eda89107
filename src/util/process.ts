// Whether another process of this machine still runs.
import { readFileSync } from "node:fs";

/** A process that has ended but that its parent hasn't asked about (a zombie) is dead. One of another user is alive. */
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
