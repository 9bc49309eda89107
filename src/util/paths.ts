// torchforge's cache folder, for its private venv and compiled addons. Not the Hugging Face cache.
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** `TORCHFORGE_CACHE`, else `$XDG_CACHE_HOME/torchforge`, else `~/.cache/torchforge`. */
export function cacheDir(): string {
  const fromEnv = process.env["TORCHFORGE_CACHE"];
  if (fromEnv) return resolve(fromEnv);
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "torchforge");
}
