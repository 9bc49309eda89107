// Creates a folder and its parents. Replaces Node's `recursive: true`, which hangs where the system reports a missing parent
// that exists (/proc; Node 22 to 26), and says only "file already exists" if a file is in the way.
import { mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

/** Creates a folder unless it exists. @throws an error whose message says what is in the way */
export function makeFolder(path: string): void {
  makeWithParents(resolve(path), true);
}

function makeWithParents(path: string, makesParents: boolean): void {
  try {
    mkdirSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const parent = dirname(path);
    if (code === "ENOENT" && makesParents && parent !== path) {
      makeWithParents(parent, true);
      makeWithParents(path, false); // only once more: the parent exists now
    } else if (code === "ENOENT") {
      throw withMessage(error, `the system lets nobody make ${path}`);
    } else if (isFolder(path) === true) {
      return;
    } else {
      const inTheWay = firstFile(path);
      if (inTheWay === undefined) throw error;
      throw withMessage(error, `${inTheWay} is a file, not a folder`);
    }
  }
}

function withMessage(cause: unknown, message: string): Error {
  const { code, path } = cause as NodeJS.ErrnoException;
  return Object.assign(new Error(message, { cause }), { code: code === "ENOENT" ? "EPERM" : code, path });
}

/** Undefined if the path doesn't exist. */
function isFolder(path: string): boolean | undefined {
  try {
    return statSync(path).isDirectory();
  } catch {
    return undefined;
  }
}

function firstFile(path: string): string | undefined {
  for (let current = path; current !== dirname(current); current = dirname(current))
    if (isFolder(current) === false) return current;
  return undefined;
}
