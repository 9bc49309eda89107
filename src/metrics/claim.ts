// Claims of folders outside the run folder, such as an absolute checkpoint.folder: only one run at a time may write to it.
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { UserError } from "../util/index.ts";
import { isAlive, type RunInfo } from "./run-info.ts";

/** The run that has claimed the folder. */
type Claim = Pick<RunInfo, "status" | "pid" | "pidStarted" | "host"> & { readonly run: string };

const claimPath = (folder: string): string => join(folder, ".run.json");

/**
 * Claims an existing folder for a run. A claim of a dead process is taken over, and so is one of another machine, where we
 * can't check the process.
 * @param key the option that names the folder
 * @throws UserError if a live run has claimed it
 */
export function claimFolder(folder: string, key: string, run: string, info: RunInfo): void {
  const { status, pid, pidStarted, host } = info;
  const claim: Claim = { run, status, pid, ...(pidStarted !== undefined && { pidStarted }), host };
  const temporary = `${claimPath(folder)}.${process.pid}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(claim)}\n`);
  try {
    while (!tryClaim(temporary, claimPath(folder))) {
      const holder = readClaim(folder);
      if (holder !== undefined && holder.host === host && holder.pid !== pid && isAlive(holder)) {
        throw new UserError(
          `${key}: the run ${holder.run} (process ${holder.pid}) is saving in ${folder}; stop it, or give another ${key}`,
        );
      }
      rmSync(claimPath(folder), { force: true });
    }
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Releases the folder, if this process has claimed it. */
export function releaseFolder(folder: string): void {
  if (readClaim(folder)?.pid === process.pid) rmSync(claimPath(folder), { force: true });
}

/** Creates the claim atomically; false if there is one. */
function tryClaim(temporary: string, path: string): boolean {
  try {
    linkSync(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    renameSync(temporary, path); // a file system without links
  }
  return true;
}

function readClaim(folder: string): Claim | undefined {
  try {
    return JSON.parse(readFileSync(claimPath(folder), "utf8")) as Claim;
  } catch {
    return undefined;
  }
}
