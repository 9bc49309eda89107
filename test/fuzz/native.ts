// Random calls over the whole binding of libtorch, most of them wrong (test/torch/fuzz/child.ts), a few thousand in a process. Each
// is a result or an error. What ends the process is lost; it is named with its seed, and left out from then on. Of three
// processes one has memory behind whose end it ends (TORCHFORGE_ALLOCATOR=guard), and one before whose start (guard-before), rather
// than memory of others.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { Mistake } from "../torch/fuzz/values.ts";
import type { Part } from "./part.ts";

const limitMs = 240_000;
const child = join(import.meta.dirname, "..", "torch", "fuzz", "child.ts");

interface Batch {
  readonly seed: number;
  readonly calls: number;
  readonly allocator: string;
  /** Operators that aren't called. */
  readonly skipped?: readonly string[];
}

interface Counts {
  readonly calls: number;
  readonly errors: number;
  readonly results: number;
  readonly tried: Record<Mistake, number>;
}

interface Ended {
  /** Undefined where the process died. */
  readonly counts: Counts | undefined;
  /** With what it ended, and in which call. */
  readonly died: string | undefined;
  /** The operator of that call. */
  readonly operator: string | undefined;
}

/** The calls of one seed, in a process of their own. */
export async function randomCalls({ seed, calls, allocator, skipped = [] }: Batch): Promise<Ended> {
  const folder = mkdtempSync(join(tmpdir(), "torchforge-fuzz-"));
  try {
    const log = join(folder, "call");
    const { code, signal, out, err } = await run([child, String(seed), String(calls), log], folder, {
      TORCHFORGE_ALLOCATOR: allocator,
      FUZZ_SKIP: skipped.join(","),
    });
    if (code === 0) {
      const counts = JSON.parse(out.trim().split("\n").at(-1)!) as Counts;
      return { counts, died: undefined, operator: undefined };
    }
    const call = readFileSync(log, "utf8").split("\n")[0]!.trim();
    const again = `TORCHFORGE_ALLOCATOR=${allocator} FUZZ_SKIP=${skipped.join(",")} node test/torch/fuzz/child.ts ${seed} ${calls} call.log`;
    return {
      counts: undefined,
      died: `the process ended with ${code ?? signal} in: ${call}\n${err}\nagain: ${again}`,
      operator: /(\w+)\(/.exec(call)?.[1],
    };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function run(
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<{ code: number | null; signal: NodeJS.Signals | null; out: string; err: string }> {
  return new Promise((done, fail) => {
    const started = spawn(process.execPath, args, {
      cwd, // fromFile makes files
      env: { ...process.env, OMP_NUM_THREADS: "1", NODE_OPTIONS: "", NODE_TEST_CONTEXT: "", ...env },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: limitMs,
      killSignal: "SIGKILL",
    });
    let out = "";
    let err = "";
    started.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
    started.stderr.on("data", (chunk: Buffer) => (err = (err + chunk.toString()).slice(-2000)));
    started.on("error", fail);
    started.on("close", (code, signal) => done({ code, signal, out, err }));
  });
}

export const native: Part = {
  unit: "native calls",
  async run({ seed, goesOn, note }) {
    const lost: string[] = [];
    const skipped: string[] = [];
    let made = 0;
    for (let n = 0; goesOn(made); n++) {
      const calls = 2500;
      const { died, operator } = await randomCalls({
        seed: seed + n,
        calls,
        allocator: ["", "guard", "guard-before"][n % 3]!,
        skipped,
      });
      made += calls;
      if (died !== undefined) {
        lost.push(died);
        note(died);
        if (operator !== undefined) skipped.push(operator);
      }
      if (n % 20 === 19) note(`${made} calls, ${lost.length} processes died`);
    }
    return { made, lost };
  },
};
