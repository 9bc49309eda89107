// What was measured on this machine and is gone by in later runs: one JSON file a subject in the cache folder, an object of
// entries by key. A key names all that its value depends on. A file that can't be read or written costs measuring again.
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { makeFolder } from "./make-folder.ts";
import { cacheDir } from "./paths.ts";

function fileOf(subject: string): string {
  return join(cacheDir(), "measured", `${subject}.json`);
}

export function readMeasured<T>(subject: string): Record<string, T> {
  try {
    return JSON.parse(readFileSync(fileOf(subject), "utf8")) as Record<string, T>;
  } catch {
    return {};
  }
}

export function noteMeasured<T>(subject: string, key: string, value: T): void {
  const file = fileOf(subject);
  try {
    makeFolder(dirname(file));
    const beside = `${file}.${process.pid}.tmp`;
    writeFileSync(beside, `${JSON.stringify({ ...readMeasured(subject), [key]: value }, null, 2)}\n`);
    renameSync(beside, file);
  } catch {
    // the next process measures it again
  }
}
