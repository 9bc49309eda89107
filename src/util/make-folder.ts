// Making folders with all above them, in place of Node's `recursive`: that one never returns where the system says that there
// is no parent although there is (/proc; Node 22 to 26), and says only "file already exists" of a file in the way.
import { mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

/** Makes a folder unless it is there. @throws an error whose message says what is in the way */
export function makeFolder(path: string): void {
  make(resolve(path), true);
}

function make(path: string, makesParents: boolean): void {
  try {
    mkdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const parent = dirname(path);
    if (code === "ENOENT" && makesParents && parent !== path) {
      make(parent, true);
      make(path, false); // once: its parent is there now
    } else if (code === "ENOENT") {
      throw explained(error, `the system lets nobody make ${path}`);
    } else if (isFolder(path) === true) {
      return;
    } else {
      const inTheWay = firstFile(path);
      if (inTheWay === undefined) throw error;
      throw explained(error, `${inTheWay} is a file, not a folder`);
    }
  }
}

function explained(cause: unknown, message: string): Error {
  const { code, path } = cause as NodeJS.ErrnoException;
  return Object.assign(new Error(message, { cause }), { code: code === "ENOENT" ? "EPERM" : code, path });
}

/** Undefined for what isn't there. */
function isFolder(path: string): boolean | undefined {
  try {
    return statSync(path).isDirectory();
  } catch {
    return undefined;
  }
}

function firstFile(path: string): string | undefined {
  for (let at = path; at !== dirname(at); at = dirname(at)) if (isFolder(at) === false) return at;
  return undefined;
}
