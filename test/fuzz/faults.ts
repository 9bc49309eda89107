// Disk faults in saves: a process that saves again and again may write no file beyond a size that is drawn anew each time. What it
// said is saved is there whole, the fault is told in words, and without the limit it goes on.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { listCheckpoints } from "../../src/checkpoint/index.ts";
import { random } from "../torch/fuzz/random.ts";
import type { Part } from "./part.ts";

const saver = join(import.meta.dirname, "..", "checkpoint", "saver.ts");

export const faults: Part = {
  unit: "faults",
  run({ seed, goesOn, note }) {
    const lost: string[] = [];
    let made = 0;
    for (; goesOn(made); made++) {
      const rng = random(seed + made);
      const folder = mkdtempSync(join(tmpdir(), "torchforge-faults-"));
      const mode = rng.pick(["disabled", "async", "async_with_pinned_mem"]);
      const save = (kibibytes: number | "unlimited", steps: number) =>
        spawnSync(
          "bash",
          [
            "-c",
            `ulimit -f ${kibibytes}; exec "$@"`,
            "bash",
            process.execPath,
            saver,
            folder,
            String(steps),
            "1",
            mode,
          ],
          { env: { ...process.env, OMP_NUM_THREADS: "1" }, encoding: "utf8", timeout: 120_000 },
        );
      const again = `npm run soak -- faults --count 1 --seed ${seed + made} (${mode})`;
      const fail = (why: string, output = ""): void => void lost.push(`${again}: ${why}\n${output}`);
      try {
        const before = save("unlimited", 2);
        // 1 MiB of weights, 2 MiB of optimizer state, and a small state.json.
        const faulty = save(1 + rng.below(2200), 4);
        const { complete, broken } = listCheckpoints(folder);
        if (before.status !== 0) fail("the first saves failed", before.stderr);
        if (faulty.status === 0 && complete.at(-1)?.step !== 4)
          fail("a save that was told is missing", faulty.stdout);
        if (faulty.status !== 0 && !/UserError: .*could not be saved/.test(faulty.stderr))
          fail("the fault is not told in words", faulty.stderr);
        if (broken.length > 0 || complete.length === 0) fail(`not whole: ${readdirSync(folder).join(", ")}`);
        const after = save("unlimited", 5);
        if (after.status !== 0 || listCheckpoints(folder).complete.at(-1)?.step !== 5)
          fail("it doesn't go on", after.stderr);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    }
    note(`${made} disk faults`);
    return Promise.resolve({ made, lost });
  },
};
