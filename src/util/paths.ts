// Where torchforge keeps what it makes for itself (private venv, compiled addons). Not the Hugging Face cache.
import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** `TORCHFORGE_CACHE`, else `$XDG_CACHE_HOME/torchforge`, else `~/.cache/torchforge`. */
export function cacheDir(): string {
  const own = process.env["TORCHFORGE_CACHE"];
  if (own) return resolve(own);
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "torchforge");
}
