// Reads the flight recorder's files, which native/comm/recorder.cc writes, of one start of a run. analyze.ts compares them.
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { messageOf, UserError } from "../../../util/index.ts";

/** A collective, a send or a receive of one rank. */
export interface Call {
  readonly group: string;
  /** Index among the group's collectives, from 1; the same on every rank. */
  readonly sequence: number;
  readonly kind: "collective" | "message";
  readonly operation: string;
  /** For reductions: sum, avg … */
  readonly op?: string;
  /** The root's rank; for messages, the other side's. */
  readonly peer?: number;
  readonly tag?: number;
  /** For messages: index among those to, or from, this peer with this tag, from 1. */
  readonly number?: number;
  readonly dtype?: string;
  readonly inputs: readonly (readonly number[])[];
  readonly outputs: readonly (readonly number[])[];
  readonly input_splits?: readonly number[];
  readonly output_splits?: readonly number[];
  /** enqueued: passed to the backend; waiting: the rank also waits for it. */
  readonly state: "enqueued" | "waiting" | "completed" | "failed";
  /** Seconds since 1970. */
  readonly enqueued_at: number;
  readonly ended_at?: number;
  /** The innermost stack frames, each `file:line`. */
  readonly site?: string;
}

export interface DumpGroup {
  readonly name: string;
  readonly ranks: readonly number[];
  /** Sequence numbers of collectives; 0 if there are none. */
  readonly last_enqueued: number;
  readonly last_completed: number;
  readonly messages: readonly {
    readonly direction: "send" | "recv";
    readonly peer: number;
    readonly tag: number;
    readonly count: number;
  }[];
}

/** Another rank's state in a group, read from the store after a call failed. */
export interface DumpPeer {
  readonly rank: number;
  readonly alive: boolean;
  readonly sequence?: number;
  readonly operation?: string;
  readonly state?: "running" | "completed" | "failed";
}

export interface DumpFailure {
  readonly kind: "timeout" | "peer" | "other";
  readonly group: string;
  readonly operation: string;
  readonly sequence: number;
  readonly message: string;
}

export interface Dump {
  readonly version: 1;
  readonly rank: number;
  readonly world_size: number;
  readonly pid: number;
  readonly time: number;
  /** Why the dump was written. */
  readonly reason: string;
  readonly failure?: DumpFailure | undefined;
  readonly peers?: readonly DumpPeer[];
  /** Total number of calls; `entries` are the latest. */
  readonly calls: number;
  readonly groups: readonly DumpGroup[];
  readonly entries: readonly Call[];
}

const fileName = /^rank-\d+\.json$/;

/**
 * Reads the dumps of one start of a run: those in `folder`, else in its newest subfolder that has any.
 * @throws UserError if there are none, or a file isn't a dump
 */
export function readDumps(folder: string): { folder: string; dumps: Dump[] } {
  const found = folderWithDumps(folder);
  const dumps = dumpFiles(found).map((name) => readDump(join(found, name)));
  return { folder: found, dumps: dumps.sort((a, b) => a.rank - b.rank) };
}

const dumpFiles = (folder: string): string[] => readdirSync(folder).filter((name) => fileName.test(name));

function folderWithDumps(folder: string): string {
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    throw new UserError(`${folder}: expected a folder with a flight recorder's files, found none.`, {
      exitCode: 2,
    });
  if (dumpFiles(folder).length > 0) return folder;
  // Subfolders are named by time.
  const starts = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && dumpFiles(join(folder, entry.name)).length > 0)
    .map(({ name }) => name)
    .sort();
  const newest = starts.at(-1);
  if (newest !== undefined) return join(folder, newest);
  throw new UserError(
    `${folder}: expected rank-N.json files, or folders that have them, found none. They are written when a call between the ranks fails, with comm.trace_buf_size above 0, into comm.save_traces_folder of the run's folder.`,
    { exitCode: 2 },
  );
}

function readDump(path: string): Dump {
  let dump: Partial<Dump>;
  try {
    dump = JSON.parse(readFileSync(path, "utf8")) as Partial<Dump>;
  } catch (error) {
    throw new UserError(`${path}: expected a flight recorder's JSON: ${messageOf(error)}`, { cause: error });
  }
  if (dump.version !== 1 || !Array.isArray(dump.entries) || !Array.isArray(dump.groups))
    throw new UserError(`${path}: expected a flight recorder's file of version 1, found another.`);
  return dump as Dump;
}
