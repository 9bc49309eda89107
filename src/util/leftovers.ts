// Removes temporary files of killed processes. Code that writes a temporary file and renames it puts its process id into the
// name, `NAME.tmp-PID` or `NAME.PID.tmp`, so that the file can be attributed.
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

/** Removes a dead process's temporary files from a folder. Returns their names; empty if there is no such folder. */
export function removeLeftovers(folder: string, pid: number): string[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  const leftovers = names.filter((name) => name.endsWith(`.tmp-${pid}`) || name.endsWith(`.${pid}.tmp`));
  for (const name of leftovers) rmSync(join(folder, name), { recursive: true, force: true });
  return leftovers;
}
