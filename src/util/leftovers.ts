// Temporary files of a process that was killed. Whatever writes beside a file and renames puts its process id into the name,
// `NAME.tmp-PID` or `NAME.PID.tmp`, so that others know whose it is.
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Removes what a dead process was writing in a folder. Gives the names; none where there is no such folder. */
export function removeLeftovers(folder: string, pid: number): string[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  const left = names.filter((name) => name.endsWith(`.tmp-${pid}`) || name.endsWith(`.${pid}.tmp`));
  for (const name of left) rmSync(join(folder, name), { recursive: true, force: true });
  return left;
}
