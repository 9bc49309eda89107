// What each rank says and writes, kept in the run's folder as logs/rank-N.log. What comes before the folder is known waits.
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { makeFolder } from "../../util/index.ts";

const keptLines = 1000;

export class RankLogs {
  readonly #waiting = new Map<number, string[]>();
  #folder: string | undefined;

  /** Lines go there from now on; every rank gets its file. */
  open(runFolder: string, worldSize: number): void {
    const folder = join(runFolder, "logs");
    if (folder === this.#folder) return;
    makeFolder(folder);
    this.#folder = folder;
    for (let rank = 0; rank < worldSize; rank++) appendFileSync(this.fileOf(rank)!, "");
    for (const [rank, lines] of this.#waiting) for (const line of lines) this.write(rank, line);
    this.#waiting.clear();
  }

  /** The file of a rank; undefined as long as there is none. */
  fileOf(rank: number): string | undefined {
    return this.#folder === undefined ? undefined : join(this.#folder, `rank-${rank}.log`);
  }

  write(rank: number, line: string): void {
    const file = this.fileOf(rank);
    if (file === undefined) {
      const lines = this.#waiting.get(rank) ?? [];
      this.#waiting.set(rank, [...lines, line].slice(-keptLines));
      return;
    }
    try {
      appendFileSync(file, `${line}\n`);
    } catch {
      // A full disk or a folder that somebody removed doesn't end the run: it is only the log.
    }
  }
}
