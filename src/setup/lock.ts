// A lock file between processes (not threads). It only avoids duplicate work: what it guards is written to a temporary file and
// renamed, so that a wrongly broken lock costs time, but never correctness.
import { closeSync, openSync, readFileSync, rmSync, statSync, utimesSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";

import { isProcessAlive, makeFolder } from "../util/index.ts";
import { setTimeout as sleep } from "node:timers/promises";

const heartbeatMs = 2_000;
/** A lock that wasn't touched for so long is stale, even if its holder is on another machine or its process id was reused. */
const staleMs = 60_000;

/** Runs `work` while holding the lock `file`. Waits for a live holder, and breaks the lock of a dead one. */
export async function withLock<T>(
  file: string,
  work: () => Promise<T>,
  onWait: (holder: string) => void = () => {},
): Promise<T> {
  makeFolder(dirname(file));
  let hasReported = false;
  while (!tryAcquire(file)) {
    const holder = readHolder(file);
    if (holder !== undefined && isDead(file, holder)) {
      rmSync(file, { force: true });
      continue;
    }
    if (holder !== undefined && !hasReported) {
      hasReported = true;
      onWait(holder);
    }
    await sleep(200);
  }
  const heartbeat = setInterval(() => {
    try {
      utimesSync(file, new Date(), new Date());
    } catch {
      // The cache folder was removed; the work itself will fail and report it.
    }
  }, heartbeatMs);
  heartbeat.unref();
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    if (readHolder(file) === holderId()) rmSync(file, { force: true });
  }
}

function holderId(): string {
  return `${process.pid} ${hostname()}`;
}

function tryAcquire(file: string): boolean {
  try {
    const descriptor = openSync(file, "wx");
    writeSync(descriptor, holderId());
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
