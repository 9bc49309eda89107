// Temporary folders of a command. One that was killed can't remove its own: the next one of its kind does.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";

import { messageOf, UserError } from "./errors.ts";
import { isProcessAlive } from "./process.ts";

/**
 * A new folder that this process removes when it needs it no more; those of the same kind whose process is dead go now.
 * @param kind such as "dry-run"; the folder is PARENT/torchforge-KIND-HOST-PID-…, since process ids are a machine's own
 * @throws UserError where none can be made
 */
export function makeWorkFolder(kind: string, parent = tmpdir()): string {
  const prefix = `torchforge-${kind}-${hostname()}-`;
  try {
    removeDead(parent, prefix);
    return mkdtempSync(join(parent, `${prefix}${process.pid}-`));
  } catch (error) {
    throw new UserError(`can't make a temporary folder in ${parent}: ${messageOf(error)}`, { cause: error });
  }
}

function removeDead(parent: string, prefix: string): void {
  for (const name of readdirSync(parent)) {
    const pid = name.startsWith(prefix) ? /^(\d+)-\w+$/.exec(name.slice(prefix.length))?.[1] : undefined;
    if (pid === undefined || isProcessAlive(Number(pid))) continue;
    try {
      rmSync(join(parent, name), { recursive: true, force: true });
    } catch {
      // Another user's: theirs to remove.
    }
  }
}
