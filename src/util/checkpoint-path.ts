// The checkpoint that a path means, as people write it: torchtitan's step-1000, the guide's step_1000, or the folder that holds the
// checkpoints of a run.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** Of a folder of checkpoints the latest complete one, of `step_N` `step-N`; any other path as it is. */
export function checkpointPath(path: string): string {
  const dashed = path.replace(/step_(\d+)([/\\]*)$/, "step-$1$2");
  const found = existsSync(path) ? path : dashed;
  if (!existsSync(found)) return path;
  if (["config.json", "state.json"].some((name) => existsSync(join(found, name)))) return found;
  return latestIn(found) ?? found;
}

function latestIn(folder: string): string | undefined {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return undefined; // a file
  }
  const steps = names
    .filter((name) => /^step-\d+$/.test(name) && existsSync(join(folder, name, "state.json")))
    .map((name) => Number(name.slice("step-".length)));
  return steps.length === 0 ? undefined : join(folder, `step-${Math.max(...steps)}`);
}
