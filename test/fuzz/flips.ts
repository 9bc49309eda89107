// Flipped bits in step folders: every file, every layout, every reader. A flip is found (an error, or a note on a file that users may
// edit), or all that is read is the same to the bit. Lost is what was read differently in silence.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { UserError } from "../../src/util/index.ts";
import { makeTinyModel } from "../train/tiny.ts";
import { random } from "../torch/fuzz/random.ts";
import type { Part } from "./part.ts";
import { makeStepFolders, type Reading } from "./step-folders.ts";

/** What was found, in words; undefined: nothing was. */
function told(read: () => Reading, expected: string): "found" | "same" | "lost" {
  try {
    const { digest, note } = read();
    if (note !== undefined) return "found";
    return digest === expected ? "same" : "lost";
  } catch (error) {
    if (error instanceof UserError) return "found";
    throw error;
  }
}

export const flips: Part = {
  unit: "flips",
  async run({ seed, goesOn, note }) {
    const work = mkdtempSync(join(tmpdir(), "torchforge-flips-"));
    const lost: string[] = [];
    let made = 0;
    let unseen = 0;
    try {
      const folders = await makeStepFolders(work, makeTinyModel(join(work, "model")));
      const expected = new Map(
        folders.map(({ name, readers }) => [name, Object.values(readers).map((read) => read())]),
      );
      for (; goesOn(made); made++) {
        const rng = random(seed + made);
        const folder = rng.pick(folders);
        const name = rng.pick(readdirSync(folder.path).sort());
        const path = join(folder.path, name);
        const original = readFileSync(path);
        const bit = rng.below(original.length * 8);
        const flipped = Buffer.from(original);
        flipped[bit >> 3]! ^= 1 << (bit & 7);
        writeFileSync(path, flipped);
        const where = `npm run fuzz -- flips --count 1 --seed ${seed + made}: bit ${bit} of ${name}, ${folder.name}`;
        try {
          const results = Object.entries(folder.readers).map(([reader, read], i) => {
            const result = told(read, expected.get(folder.name)![i]!.digest);
            if (result === "lost") lost.push(`${where}, read by ${reader}`);
            return result;
          });
          // Ranks of a run end together: one of them finds it for both.
          const [one, ...ranks] = results;
          if (one === "same" && ranks.every((result) => result === "same")) unseen++;
        } catch (error) {
          lost.push(`${where}: ${String((error as Error).stack ?? error)}`);
        }
        writeFileSync(path, original);
        await new Promise((done) => setImmediate(done));
      }
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
    note(`${made} flips, of which ${unseen} changed nothing that is read, and nobody told of them`);
    return { made: made, lost };
  },
};
