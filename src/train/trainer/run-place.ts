// What the trainer needs of its run's folder. Rank 0 has the folder (metrics' RunFolder); the others know where it is, and
// write nothing there.
import { isAbsolute, join } from "node:path";

import type { RunFolder } from "../../metrics/index.ts";

export type RunPlace = Pick<RunFolder, "path" | "resolve" | "configure" | "end">;

/** The folder that another rank has opened. */
export function otherRanksRun(path: string): RunPlace {
  return {
    path,
    resolve: (relative) => (isAbsolute(relative) ? relative : join(path, relative)),
    configure: () => undefined,
    end: () => undefined,
  };
}
