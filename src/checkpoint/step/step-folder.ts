// The folder of checkpoints as a file system sees it: step-N folders, how one is published whole, found, and removed.
// Names that begin with a dot are never checkpoints: `.step-N.tmp-PID` is being written, `.step-N.old-PID` was replaced
// or is being removed. `step-N-hf` is the model exported after step N: written and replaced as a checkpoint is, never
// resumed from nor removed. Knows nothing of tensors.
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { isProcessAlive, makeFolder, messageOf } from "../../util/index.ts";
import { readManifest, type Manifest } from "./manifest.ts";

/** A complete checkpoint. */
export interface CheckpointInfo {
  readonly step: number;
  readonly path: string;
  readonly manifest: Manifest;
}

/** A step-N folder that can't be loaded, and why. */
export interface BrokenCheckpoint {
  readonly step: number;
  readonly path: string;
  readonly reason: string;
}

export interface Listing {
  /** In the order in which they were saved. */
  readonly complete: readonly CheckpointInfo[];
  readonly broken: readonly BrokenCheckpoint[];
}

export const stepPath = (folder: string, step: number): string => join(folder, stepName(step));

/** Where the model of that step is exported beside its checkpoint. */
export const exportPath = (folder: string, step: number): string => join(folder, stepName(step, true));

/**
 * Whether the model of a run's last checkpoint is still to be exported: the disk was full, say, or the process was killed.
 * One that holds the weights alone is the model itself.
 */
export const lacksExport = ({ path, step, manifest }: CheckpointInfo): boolean =>
  manifest.kind === "full" && !existsSync(exportPath(dirname(path), step));

const stepName = (step: number, isExport = false): string => `step-${step}${isExport ? "-hf" : ""}`;

export function listCheckpoints(folder: string): Listing {
  const complete: CheckpointInfo[] = [];
  const broken: BrokenCheckpoint[] = [];
  if (!existsSync(folder)) return { complete, broken };
  for (const entry of readdirSync(folder)) {
    const match = /^step-(\d+)$/.exec(entry);
    if (!match) continue;
    const step = Number(match[1]);
    const path = join(folder, entry);
    try {
      complete.push({ step, path, manifest: readManifest(path) });
    } catch (error) {
      // One that a running training has removed since the folder was read isn't broken.
      if (existsSync(path)) broken.push({ step, path, reason: messageOf(error) });
    }
  }
  complete.sort((a, b) => a.manifest.sequence - b.manifest.sequence || a.step - b.step);
  broken.sort((a, b) => a.step - b.step);
  return { complete, broken };
}

/** The complete checkpoint that was saved last. */
export function findLatest(folder: string): CheckpointInfo | undefined {
  return listCheckpoints(folder).complete.at(-1);
}

/** A new, empty folder beside the final one, to write into. */
export function beginStep(folder: string, step: number, isExport = false): string {
  makeFolder(folder);
  const temporary = join(folder, `.${stepName(step, isExport)}.tmp-${process.pid}`);
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary);
  return temporary;
}

/**
 * Makes a written folder the checkpoint of its step, durably: everything in it is synced, then it is renamed, then the
 * rename is synced. A checkpoint of the same step is replaced; at every moment one of the two is there, if only under its
 * hidden name, from which `cleanLeftovers` brings it back.
 */
export function publishStep(temporary: string, folder: string, step: number, isExport = false): string {
  for (const name of readdirSync(temporary)) sync(join(temporary, name));
  sync(temporary);
  const final = join(folder, stepName(step, isExport));
  const old = join(folder, `.${stepName(step, isExport)}.old-${process.pid}`);
  const replaces = existsSync(final);
  if (replaces) {
    rmSync(old, { recursive: true, force: true });
    renameSync(final, old);
  }
  renameSync(temporary, final);
  sync(folder);
  if (replaces) rmSync(old, { recursive: true, force: true });
  return final;
}

/** Removes a checkpoint: under its own name it is there whole, or not at all. */
export function removeStep(folder: string, step: number): void {
  const old = join(folder, `.step-${step}.old-${process.pid}`);
  rmSync(old, { recursive: true, force: true });
  renameSync(stepPath(folder, step), old);
  // Before its files go: else a crash could bring the name back to a folder without them.
  sync(folder);
  rmSync(old, { recursive: true, force: true });
}

/**
 * Removes what dead processes left behind. To be called when a run begins, not while it saves. Returns the names.
 * A replaced checkpoint whose successor never arrived gets its name back.
 */
export function cleanLeftovers(folder: string): string[] {
  if (!existsSync(folder)) return [];
  const removed: string[] = [];
  for (const entry of readdirSync(folder)) {
    const match = /^\.(step-\d+(?:-hf)?)\.(tmp|old)-(\d+)$/.exec(entry);
    if (!match) continue;
    // In a container a restarted run has its predecessor's process id: our own leftovers are old ones too.
    const pid = Number(match[3]);
    if (pid !== process.pid && isProcessAlive(pid)) continue;
    const path = join(folder, entry);
    const final = join(folder, match[1]!);
    if (match[2] === "old" && !existsSync(final) && isComplete(path)) {
      renameSync(path, final);
      sync(folder);
      continue;
    }
    rmSync(path, { recursive: true, force: true });
    removed.push(entry);
  }
  return removed;
}

/**
 * Removes the checkpoints saved first until `keep` are left (0 keeps all). Never the one saved last, nor those in
 * `spared` (paths). Returns the steps removed.
 */
export function purge(folder: string, keep: number, spared: readonly string[] = []): number[] {
  if (keep === 0) return [];
  const { complete } = listCheckpoints(folder);
  const surplus = complete.slice(0, Math.max(0, complete.length - Math.max(1, keep)));
  const gone = surplus.filter(({ path }) => !spared.includes(path));
  for (const { step } of gone) removeStep(folder, step);
  return gone.map(({ step }) => step);
}

function isComplete(path: string): boolean {
  try {
    readManifest(path);
    return true;
  } catch {
    return false;
  }
}

/** Makes a file's bytes, or a folder's names, durable. Windows can't open folders, and needs no sync of them. */
function sync(path: string): void {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (process.platform === "win32") return;
    throw error;
  }
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
