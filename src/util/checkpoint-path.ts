// The checkpoint that a path means, as people write it: torchtitan's step-1000, the guide's step_1000, or the folder that holds the
// checkpoints of a run. Reads no more of one than what says which it is (checkpoint/step/manifest.ts has all of it).
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { readJsonObject } from "./model-files.ts";

/** Of a folder of checkpoints the one saved last, of `step_N` `step-N`; any other path as it is. */
export function checkpointPath(path: string): string {
  const dashed = path.replace(/step_(\d+)([/\\]*)$/, "step-$1$2");
  const found = existsSync(path) ? path : dashed;
  if (!existsSync(found)) return path;
  if (["config.json", "state.json"].some((name) => existsSync(join(found, name)))) return found;
  return latestIn(found) ?? found;
}

/** Whether the folder is a checkpoint of a run, from which one may begin though no config.json is in it. */
export const isCheckpoint = (folder: string): boolean => headOf(folder) !== undefined;

/** Whether the folder is a checkpoint that a run goes on from, and not one of the weights alone. */
export const isResumable = (folder: string): boolean => headOf(folder)?.kind === "full";

function latestIn(folder: string): string | undefined {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return undefined; // a file
  }
  const found = names
    .filter((name) => /^step-\d+$/.test(name))
    .flatMap((name) => headOf(join(folder, name)) ?? [])
    .sort((a, b) => a.sequence - b.sequence || a.step - b.step);
  return found.at(-1)?.path;
}

/** What its state.json says of a checkpoint; undefined without a readable one. */
function headOf(path: string) {
  try {
    const { kind, sequence, step } = readJsonObject(join(path, "state.json"));
    return { path, kind, sequence: Number(sequence), step: Number(step) };
  } catch {
    return undefined;
  }
}
