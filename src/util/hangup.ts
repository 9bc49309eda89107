// Whether this process was started to outlive its terminal. Node gives ignored signals their default action back before our code
// runs, so that `nohup`, which has SIGHUP ignored, is told by its other marks.
import { fstatSync, readFileSync, readlinkSync } from "node:fs";
import { basename } from "node:path";

import type { Environment } from "./environment.ts";

/** `nohup` in place of a terminal: standard input that can't be read, and output into nohup.out. */
function hasMarks(): boolean {
  if (process.platform !== "linux") return false;
  try {
    const target = readlinkSync("/proc/self/fd/0");
    const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync("/proc/self/fdinfo/0", "utf8"))?.[1] ?? "0";
    const isWriteOnly = (Number.parseInt(flags, 8) & 3) === 1;
    if (target === "/dev/null" && isWriteOnly && fstatSync(0).isCharacterDevice()) return true;
    return [1, 2].some((fd) => basename(readlinkSync(`/proc/self/fd/${fd}`)) === "nohup.out");
  } catch {
    return false; // a closed descriptor
  }
}

/** Whether SIGHUP is to be ignored: the process was started by `nohup`. Shells say so in the variable `_`. */
export const outlivesTerminal = (env: Environment = process.env): boolean =>
  basename(env["_"] ?? "") === "nohup" || hasMarks();
