// Each rank's notes and output, in the run folder as logs/rank-N.log. Lines that come before the folder is known are buffered.
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { makeFolder } from "../../util/index.ts";

const maxWaitingLines = 1000;

export class RankLogs {
  readonly #waiting = new Map<number, string[]>();
  #folder: string | undefined;

  /** Creates a file for every rank and writes the buffered lines. */
  open(runFolder: string, worldSize: number): void {
    const folder = join(runFolder, "logs");
    if (folder === this.#folder) return;
    makeFolder(folder);
    this.#folder = folder;
    for (let rank = 0; rank < worldSize; rank++) appendFileSync(this.fileOf(rank)!, "");
    for (const [rank, lines] of this.#waiting) for (const line of lines) this.write(rank, line);
    this.#waiting.clear();
  }

  /** A rank's log file; undefined until the folder is known. */
  fileOf(rank: number): string | undefined {
    return this.#folder === undefined ? undefined : join(this.#folder, `rank-${rank}.log`);
  }

  write(rank: number, line: string): void {
    const file = this.fileOf(rank);
    if (file === undefined) {
      const lines = this.#waiting.get(rank) ?? [];
      this.#waiting.set(rank, [...lines, line].slice(-maxWaitingLines));
      return;
    }
    try {
      appendFileSync(file, `${line}\n`);
    } catch {
      // A full disk or a removed folder must not end the run: this is only the log.
    }
  }
}
