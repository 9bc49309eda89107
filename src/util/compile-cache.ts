// Turns on Node's compile cache, in torchforge's own cache folder, also for child processes.
import * as module from "node:module";
import { join } from "node:path";

import { makeFolder } from "./make-folder.ts";
import { cacheDir } from "./paths.ts";

/** Does without where the folder can't be made: whoever needs the cache folder says so. */
export function useCompileCache(): void {
  const folder = process.env["NODE_COMPILE_CACHE"] ?? join(cacheDir(), "compiled");
  try {
    makeFolder(folder); // Node itself would hang below /proc
  } catch {
    return;
  }
  process.env["NODE_COMPILE_CACHE"] = folder;
  // Since Node 22.8; by name it could not even be imported before, and who has Node 20 should read what is needed.
  (module as { enableCompileCache?: typeof module.enableCompileCache }).enableCompileCache?.(folder);
}
