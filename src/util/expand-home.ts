// `~` and `$HOME` at the beginning of a path that no shell has seen: in a configuration, or behind the = of an argument.
import { homedir } from "node:os";
import { join } from "node:path";

/** A path with the home folder in place of `~` or `$HOME`. Another user's home (`~name`) stays as it is. */
export function expandHome(path: string): string {
  const begin = /^(~|\$HOME)(?=[/\\]|$)/.exec(path)?.[0];
  if (begin === undefined) return path;
  return join(process.env["HOME"] || homedir(), path.slice(begin.length + 1));
}
