// A process is killed (SIGKILL) at random moments while it saves checkpoints in a loop. After each death the latest
// checkpoint must load, be intact and be no older than the last one that the process said was saved; and in the end the
// run that was killed ten times holds, bit for bit, what one that never died holds.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { findLatest, listCheckpoints } from "../../src/checkpoint/index.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-kill-"));
test.after(() => rmSync(work, { recursive: true, force: true }));
const saver = join(import.meta.dirname, "saver.ts");
const environment = { ...process.env, OMP_NUM_THREADS: "1" };

const modes = ["disabled", "async", "async_with_pinned_mem"] as const;
type Mode = (typeof modes)[number];

interface Life {
  readonly resumed: number;
  readonly saved: number;
  readonly signal: NodeJS.Signals | null;
}

/** Lets a saver live until `afterFirstSave` ms after its first save, or until it ends. */
function live(folder: string, steps: number, mode: Mode, afterFirstSave?: number): Promise<Life> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [saver, folder, String(steps), "4", mode], {
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [out, err] = ["", ""];
    let timer: NodeJS.Timeout | undefined;
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
      if (afterFirstSave !== undefined && out.includes("saved"))
        timer ??= setTimeout(() => child.kill("SIGKILL"), afterFirstSave);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (signal === null && code !== 0) {
        reject(new Error(`the saver ended with ${code}: ${err}`));
        return;
      }
      // The last line may be cut; a save counts when its line is whole.
      const numbers = (word: string) => [...out.matchAll(new RegExp(`^${word} (\\d+)\\n`, "gm"))];
      const last = (word: string) => Number(numbers(word).at(-1)?.[1] ?? -1);
      resolve({ resumed: last("resumed"), saved: last("saved"), signal });
    });
  });
}

for (const mode of modes)
  void test(
    `killed ten times while saving (${mode}), a run loses nothing that was saved`,
    { timeout: 600_000 },
    async () => {
      const folder = join(work, `killed-${mode}`);
      let reached = 0;
      for (let round = 0; round < 10; round++) {
        const life = await live(folder, 1_000_000, mode, Math.random() * 250);
        assert.equal(life.signal, "SIGKILL");
        const { complete, broken } = listCheckpoints(folder);
        assert.deepEqual(broken, [], "a step-N folder is always whole");
        // Two are kept, beside them the one that this life resumed from and one that was published but not yet purged for.
        const count = complete.length;
        assert.ok(count >= 1 && count <= 2 + 1 + 1, `${count} checkpoints`);
        const { step } = complete.at(-1)!;
        assert.equal(life.resumed, reached, "it resumed from the latest");
        assert.ok(
          step >= life.saved && step <= life.saved + 1,
          `${step} is the latest, ${life.saved} was saved`,
        );
        reached = step;
      }
      const final = reached + 2;
      const resumed = await live(folder, final, mode);
      assert.equal(resumed.saved, final);
      assert.ok(
        readdirSync(folder).every((name) => name.startsWith("step-")),
        "leftovers are gone",
      );

      const straight = join(work, `straight-${mode}`);
      await live(straight, final, "disabled");
      const [a, b] = [findLatest(folder)!, findLatest(straight)!];
      assert.equal(a.step, final);
      assert.deepEqual(a.manifest.checksums, b.manifest.checksums);
      assert.deepEqual(a.manifest.random, b.manifest.random);
      for (const name of ["model.safetensors", "optimizer.safetensors"])
        assert.ok(readFileSync(join(a.path, name)).equals(readFileSync(join(b.path, name))), name);
    },
  );

/** Runs a saver in a shell that forbids files larger than `kibibytes`, as a disk would that is full. */
function withFileLimit(kibibytes: number, ...args: string[]) {
  const command = `ulimit -f ${kibibytes}; exec "$@"`;
  return spawnSync("bash", ["-c", command, "bash", process.execPath, saver, ...args], {
    env: environment,
    encoding: "utf8",
    timeout: 60_000,
  });
}

for (const mode of modes)
  void test(
    `a save that doesn't fit (${mode}) fails clearly, leaves nothing and keeps the checkpoint before`,
    { timeout: 120_000 },
    async () => {
      const folder = join(work, `full-${mode}`);
      await live(folder, 2, mode);
      const before = readFileSync(join(folder, "step-2", "model.safetensors"));
      // 4 MiB of weights fit, 8 MiB of optimizer state don't.
      const { status, stderr } = withFileLimit(6000, folder, "3", "4", mode);
      assert.equal(status, 1, stderr);
      assert.match(
        stderr,
        /UserError: .*step-3: the checkpoint could not be saved: a file would be larger than the file size limit \(ulimit -f\)\. The checkpoint of step 2 is intact: when there is room again \(older step folders may be removed\), the same command resumes from it\./,
      );
      assert.deepEqual(readdirSync(folder).sort(), ["step-1", "step-2"]);
      assert.ok(readFileSync(join(folder, "step-2", "model.safetensors")).equals(before));
      const again = await live(folder, 3, mode);
      assert.deepEqual([again.resumed, again.saved], [2, 3]);
    },
  );
