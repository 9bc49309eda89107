// A lock between processes, as a file. It is not for threads of one process, and it is advice: what it guards is
// written beside and renamed, so a lock wrongly taken over costs time, never a broken result.
import { closeSync, openSync, readFileSync, rmSync, statSync, utimesSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";

import { isProcessAlive, makeFolder } from "../util/index.ts";
import { setTimeout as sleep } from "node:timers/promises";

const beatMs = 2_000;
/** A holder that hasn't touched its lock for so long is gone (on another machine, or its process id is another's now). */
const staleMs = 60_000;

/** Runs `work` while holding the lock `file`; waits for another holder, and takes over from a dead one. */
export async function withLock<T>(
  file: string,
  work: () => Promise<T>,
  onWait: (holder: string) => void = () => {},
): Promise<T> {
  makeFolder(dirname(file));
  let told = false;
  while (!tryTake(file)) {
    const holder = readHolder(file);
    if (holder !== undefined && isDead(file, holder)) {
      rmSync(file, { force: true });
      continue;
    }
    if (holder !== undefined && !told) {
      told = true;
      onWait(holder);
    }
    await sleep(200);
  }
  const beat = setInterval(() => {
    try {
      utimesSync(file, new Date(), new Date());
    } catch {
      // The cache was removed under us; the work itself will say so.
    }
  }, beatMs);
  beat.unref();
  try {
    return await work();
  } finally {
    clearInterval(beat);
    if (readHolder(file) === self()) rmSync(file, { force: true });
  }
}

function self(): string {
  return `${process.pid} ${hostname()}`;
}

function tryTake(file: string): boolean {
  try {
    const descriptor = openSync(file, "wx");
    writeSync(descriptor, self());
    closeSync(descriptor);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function readHolder(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function isDead(file: string, holder: string): boolean {
  const age = Date.now() - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
  const [pid, host] = holder.split(" ");
  if (age > staleMs) return true;
  if (host !== hostname()) return false;
  return !isProcessAlive(Number(pid));
}
