// Where the processes of a run write, beside and then renamed: what one that died was at is found there.
import { resolve } from "node:path";

import type { Config } from "../../config/index.ts";

/** @param folder of the run, absolute */
export function runFolders(folder: string, { checkpoint }: Config): string[] {
  return [folder, resolve(folder, checkpoint.folder)];
}
