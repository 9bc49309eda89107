// The flight recorder's switch: how many calls each rank remembers, and where they are written down when one fails, when a
// rank ends or when `dumpFlightRecorder` is called. Remembering and writing are native/comm/recorder.cc's; what the ranks'
// files say together, `forge comm analyze` tells. Each meeting of the ranks has a folder of its own, named by its time, so
// that a restart keeps what the run before left.
import { join, resolve } from "node:path";

import { UserError } from "../util/index.ts";
import { native, now } from "./native.ts";
import type { Store } from "./store.ts";

export interface RecorderOptions {
  /** Calls that a rank remembers: collectives, sends and receives of all its groups together. */
  entries: number;
  /** Where they are written: `<folder>/<time of the meeting>/rank-N.json`. Without one, once `flightRecorderFolder` names it. */
  folder?: string;
}

let meeting: string | undefined;

/** Ranks agree on the folder's name through the store. @internal */
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
  meeting = await store.get(key);
  now(native().commTraceStart(entries, rank, worldSize));
  if (folder !== undefined) flightRecorderFolder(folder);
}

/** @internal */
export function stopRecorder(): void {
  if (meeting === undefined) return;
  meeting = undefined;
  now(native().commTraceStart(0, 0, 0));
}

/** Names the folder under which this rank's calls are written from now on; nothing where the recorder is off. */
export function flightRecorderFolder(folder: string): void {
  if (meeting !== undefined) now(native().commTraceFolder(join(resolve(folder), meeting)));
}

/**
 * Writes this rank's calls down now, and asks the other ranks for theirs, which they write within about half a second.
 * @param final after a failure: what the ranks do afterwards is not written over it
 * @returns whether it was written: false where the recorder is off, or has no folder yet
 */
export function dumpFlightRecorder(reason: string, { final = false } = {}): boolean {
  return meeting !== undefined && now(native().commTraceDump(reason, final));
}

/** How many places of the program are kept for a call, innermost first. */
const kept = 3;
const ownFolder = import.meta.dirname.replaceAll("\\", "/");

/** With the recorder on: tells where in the program the call is made that comes next. @internal */
export function noteSite(): void {
  if (meeting === undefined) return;
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 8 + kept;
  const frames = new Error().stack!.split("\n");
  Error.stackTraceLimit = limit;
  const places: string[] = [];
  for (let i = 1; i < frames.length && places.length < kept; i++) {
    const place = /\(?([^\s()]+:\d+):\d+\)?$/.exec(frames[i]!)?.[1];
    if (place === undefined || place.includes(ownFolder) || place.startsWith("node:")) continue;
    places.push(place.replace(/^file:\/\//, ""));
  }
  native().commTraceSite(places.join(" < "));
}
