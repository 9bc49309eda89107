// Temporary folders of commands. A killed command can't remove its folder, so the next command of the same kind does.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";

import { messageOf, UserError } from "./errors.ts";
import { isProcessAlive } from "./process.ts";

/**
 * Creates a temporary folder, which the caller removes, and removes those of the same kind whose process is dead.
 * @param kind such as "dry-run"; the folder is PARENT/torchforge-KIND-HOST-PID-…, because process ids are per machine
 * @throws UserError if the folder can't be created
 */
export function makeWorkFolder(kind: string, parent = tmpdir()): string {
  const prefix = `torchforge-${kind}-${hostname()}-`;
  try {
    removeOfDeadProcesses(parent, prefix);
    return mkdtempSync(join(parent, `${prefix}${process.pid}-`));
  } catch (error) {
    throw new UserError(`can't make a temporary folder in ${parent}: ${messageOf(error)}`, { cause: error });
  }
}

function removeOfDeadProcesses(parent: string, prefix: string): void {
  for (const name of readdirSync(parent)) {
    const pid = name.startsWith(prefix) ? /^(\d+)-\w+$/.exec(name.slice(prefix.length))?.[1] : undefined;
    if (pid === undefined || isProcessAlive(Number(pid))) continue;
    try {
      rmSync(join(parent, name), { recursive: true, force: true });
    } catch {
      // It belongs to another user.
    }
  }
}
