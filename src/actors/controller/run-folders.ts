// The folders in which the processes of a run write temporary files that they then rename. A process that dies leaves them
// there.
import { resolve } from "node:path";

import type { Config } from "../../config/index.ts";

/** @param folder the run folder, absolute */
export function runFolders(folder: string, { spec }: Config): string[] {
  return [folder, resolve(folder, spec.checkpoint.folder)];
}
