// Switches the flight recorder on and off: how many calls each rank records, and where they are dumped when a call fails, when
// a rank exits, or by `dumpFlightRecorder`. native/comm/recorder.cc records and writes; `forge comm analyze` compares the
// ranks' files. Each session (from init to destroy) has its own folder, named by its time, so that a restart overwrites
// nothing.
import { join, resolve } from "node:path";

import { UserError } from "../util/index.ts";
import { native, checked } from "./native.ts";
import type { Store } from "./store.ts";

export interface RecorderOptions {
  /** How many calls a rank keeps: collectives, sends and receives of all its groups. */
  entries: number;
  /** Dumps go to `<folder>/<session time>/rank-N.json`. May be set later by `flightRecorderFolder`. */
  folder?: string;
}

let sessionName: string | undefined;

/** The ranks agree on the session's name through the store. @internal */
export async function startRecorder(
  store: Store,
  rank: number,
  worldSize: number,
  { entries, folder }: RecorderOptions,
): Promise<void> {
  if (!Number.isInteger(entries) || entries < 1) {
    throw new UserError(
      `initProcessGroup: flightRecorder.entries: expected a whole number above 0, found ${entries}.`,
      { exitCode: 2 },
    );
  }
  const key = "flight-recorder";
  if (rank === 0) await store.set(key, new Date().toISOString().replaceAll(":", "-").slice(0, 23));
  sessionName = await store.get(key);
  checked(native().commTraceStart(entries, rank, worldSize));
  if (folder !== undefined) flightRecorderFolder(folder);
}

/** @internal */
export function stopRecorder(): void {
  if (sessionName === undefined) return;
  sessionName = undefined;
  checked(native().commTraceStart(0, 0, 0));
}

/** Sets the folder of this rank's dumps. Does nothing if the recorder is off. */
export function flightRecorderFolder(folder: string): void {
  if (sessionName !== undefined) checked(native().commTraceFolder(join(resolve(folder), sessionName)));
}

/**
 * Dumps this rank's calls now, and asks the other ranks to do so, which takes them about half a second.
 * @param final for use after a failure: later dumps don't overwrite this one
 * @returns whether a dump was written: false if the recorder is off or has no folder yet
 */
export function dumpFlightRecorder(reason: string, { final = false } = {}): boolean {
  return sessionName !== undefined && checked(native().commTraceDump(reason, final));
}

/** How many stack frames are recorded for a call, innermost first. */
const keptFrames = 3;
const commFolder = import.meta.dirname.replaceAll("\\", "/");

/** If the recorder is on, records the call site of the next call. @internal */
export function recordCallSite(): void {
  if (sessionName === undefined) return;
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 8 + keptFrames;
  const frames = new Error().stack!.split("\n");
  Error.stackTraceLimit = limit;
  const sites: string[] = [];
  for (let i = 1; i < frames.length && sites.length < keptFrames; i++) {
    const site = /\(?([^\s()]+:\d+):\d+\)?$/.exec(frames[i]!)?.[1];
    if (site === undefined || site.includes(commFolder) || site.startsWith("node:")) continue;
    sites.push(site.replace(/^file:\/\//, ""));
  }
  native().commTraceSite(sites.join(" < "));
}
