// No input from TypeScript may crash the process: 10,000 random calls over the whole binding (fuzz/child.ts), in child
// processes, with fixed seeds: wrong types, wrong counts, disposed tensors, huge sizes, NaN sizes, other threads' tensors. FUZZ_SEED=7 tries others, fuzz/campaign.ts many.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { mistakes, type Mistake } from "./fuzz/values.ts";

const calls = 2500;
const limitMs = 240_000;
const first = Number(process.env["FUZZ_SEED"] ?? 1);

interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  out: string;
  err: string;
}

function run(args: readonly string[], cwd: string, env: NodeJS.ProcessEnv): Promise<Ended> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, args, {
      cwd, // fromFile makes files
      env: { ...process.env, OMP_NUM_THREADS: "1", NODE_OPTIONS: "", NODE_TEST_CONTEXT: "", ...env },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: limitMs,
      killSignal: "SIGKILL",
    });
    let out = "";
    let err = "";
    child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (err = (err + chunk.toString()).slice(-4000)));
    child.on("error", fail);
    child.on("close", (code, signal) => done({ code, signal, out, err }));
  });
}

for (const n of [0, 1, 2, 3]) {
  const seed = first + n;
  // Half of them with memory behind whose end the process ends, rather than with what happens to lie there.
  const allocator = n % 2 === 0 ? "" : "guard";
  test(
    `${calls} random calls, seed ${seed}${allocator && ", guarded memory"}`,
    { timeout: limitMs + 30_000 },
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "torchforge-fuzz-"));
      try {
        const log = join(folder, "call");
        const child = join(import.meta.dirname, "fuzz", "child.ts");
        const { code, signal, out, err } = await run([child, String(seed), String(calls), log], folder, {
          TORCHFORGE_ALLOCATOR: allocator,
        });
        const last = readFileSync(log, "utf8").split("\n")[0];
        assert.equal(code, 0, `the process ended with ${code ?? signal} in: ${last}\n${err}`);
        const counts = JSON.parse(out.trim().split("\n").at(-1)!) as {
          calls: number;
          errors: number;
          results: number;
          tried: Record<Mistake, number>;
        };
        assert.equal(counts.calls, calls);
        // Most random calls are wrong; enough are right for their results to be used again.
        assert(counts.results > calls / 10, JSON.stringify(counts));
        for (const mistake of mistakes) assert(counts.tried[mistake] >= 5, JSON.stringify(counts.tried));
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
}
