// Looks for crashes over many seeds: `campaign.ts FIRST_SEED SEEDS [CALLS]`. Each seed is a child process; an operator that
// ends one is named with its arguments, left out, and the seed is tried again. Ends with 1 when there was any. Not a test of
// its own: fuzz.test.ts runs fixed seeds, this finds what to guard against. TORCHFORGE_ALLOCATOR=guard makes every access
// beyond a tensor's memory end the process.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [first = 1, seeds = 10, calls = 2500] = process.argv.slice(2).map(Number);
const limitMs = 120_000;
const folder = mkdtempSync(join(tmpdir(), "torchforge-fuzz-"));
const log = join(folder, "call");
const skipped = new Set((process.env["FUZZ_SKIP"] ?? "").split(",").filter(Boolean));
let crashes = 0;
const total = { calls: 0, errors: 0, results: 0 };

for (let seed = first; seed < first + seeds;) {
  const child = [join(import.meta.dirname, "child.ts"), String(seed), String(calls), log];
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, child, {
    env: { ...process.env, OMP_NUM_THREADS: "1", FUZZ_SKIP: [...skipped].join(",") },
    cwd: folder, // fromFile makes files
    encoding: "utf8",
    timeout: limitMs,
    killSignal: "SIGKILL",
  });
  for (const line of stderr.split("\n")) if (line.startsWith("slow:")) console.log(line);
  if (status === 0) {
    const counts = JSON.parse(stdout.trim().split("\n").at(-1)!) as typeof total;
    for (const key of ["calls", "errors", "results"] as const) total[key] += counts[key];
    seed++;
    continue;
  }
  crashes++;
  const call = readFileSync(log, "utf8").split("\n")[0]!;
  console.log(`${signal ?? status} seed ${seed}: ${call}\n${stderr.slice(-600)}`);
  const operator = /(\w+)\(/.exec(call)?.[1];
  if (operator === undefined || skipped.has(operator)) seed++;
  else skipped.add(operator);
}
console.log(JSON.stringify({ ...total, crashes, skipped: [...skipped] }));
rmSync(folder, { recursive: true });
process.exitCode = crashes > 0 ? 1 : 0;
