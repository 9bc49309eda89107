// Claims of folders that only one run at a time may write to: its own, and one outside of it, such as an absolute
// checkpoint.folder. A claim is a file that is made by linking, so that one of several that try gets it.
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
  const isHeld = (holder: Claim | undefined): holder is Claim =>
    holder !== undefined && holder.host === host && holder.pid !== pid && isAlive(holder);
  const temporary = `${claimPath(folder)}.${process.pid}.tmp`;
  writeFileSync(temporary, `${JSON.stringify(claim)}\n`);
  try {
    while (!tryClaim(temporary, claimPath(folder))) {
      const holder = readClaim(claimPath(folder));
      if (isHeld(holder)) throw heldError(folder, key, holder);
      removeStale(folder, key, isHeld);
    }
  } finally {
    rmSync(temporary, { force: true });
  }
}

const heldError = (folder: string, key: string, { run, pid }: Claim): UserError =>
  new UserError(
    `${key}: the run ${run} (process ${pid}) is saving in ${folder}; stop it, or give another ${key}`,
  );

/** Renamed away before it is judged: what another process has put in its place meanwhile isn't deleted, but put back. */
function removeStale(
  folder: string,
  key: string,
  isHeld: (holder: Claim | undefined) => holder is Claim,
): void {
  const stale = `${claimPath(folder)}.${process.pid}.stale`;
  try {
    renameSync(claimPath(folder), stale);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return; // another process has removed it
    throw error;
  }
  try {
    const holder = readClaim(stale);
    if (!isHeld(holder)) return;
    tryClaim(stale, claimPath(folder));
    throw heldError(folder, key, holder);
  } finally {
    rmSync(stale, { force: true });
  }
}

/** Releases the folder, if this process has claimed it. */
export function releaseFolder(folder: string): void {
  if (readClaim(claimPath(folder))?.pid === process.pid) rmSync(claimPath(folder), { force: true });
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

function readClaim(path: string): Claim | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Claim;
  } catch {
    return undefined;
  }
}
