// A folder outside a run's own, such as an absolute checkpoint.folder: one run at a time writes into it.
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { UserError } from "../util/index.ts";
import { isAlive, type RunInfo } from "./run-info.ts";

/** What is known of the run that has the folder. */
type Claim = Pick<RunInfo, "status" | "pid" | "pidStarted" | "host"> & { readonly run: string };

const claimOf = (folder: string): string => join(folder, ".run.json");

/**
 * Takes the folder for a run, also from one whose process is gone. Of runs on other machines nobody here can tell.
 * @param folder one that is there
 * @param key the option that names it
 * @throws UserError where a run that goes on has it
 */
export function claimFolder(folder: string, key: string, run: string, info: RunInfo): void {
  const { status, pid, pidStarted, host } = info;
  const claim: Claim = { run, status, pid, ...(pidStarted !== undefined && { pidStarted }), host };
  const beside = `${claimOf(folder)}.${process.pid}.tmp`;
  writeFileSync(beside, `${JSON.stringify(claim)}\n`);
  try {
    while (!tryTake(beside, claimOf(folder))) {
      const holder = readClaim(folder);
      if (holder !== undefined && holder.host === host && holder.pid !== pid && isAlive(holder)) {
        throw new UserError(
          `${key}: the run ${holder.run} (process ${holder.pid}) is saving in ${folder}; stop it, or give another ${key}`,
        );
      }
      rmSync(claimOf(folder), { force: true });
    }
  } finally {
    rmSync(beside, { force: true });
  }
}

/** Lets it go, if it is this process that has it. */
export function releaseFolder(folder: string): void {
  if (readClaim(folder)?.pid === process.pid) rmSync(claimOf(folder), { force: true });
}

/** Whole or not at all; false where there is one. */
function tryTake(beside: string, path: string): boolean {
  try {
    linkSync(beside, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    renameSync(beside, path); // a file system without links
  }
  return true;
}

function readClaim(folder: string): Claim | undefined {
  try {
    return JSON.parse(readFileSync(claimOf(folder), "utf8")) as Claim;
  } catch {
    return undefined;
  }
}
