// Runs parts one after another and prints one line: how many attacks each made, and how many were lost. Arguments: names of parts,
// `--minutes N` for all together (5), `--seed N` (the time), `--count N` of each part, instead of the time.
import { parseArgs } from "node:util";

import type { Outcome } from "./part.ts";
import { parts } from "./parts.ts";

export async function runParts(name: string, defaults: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { minutes: { type: "string" }, seed: { type: "string" }, count: { type: "string" } },
  });
  const chosen = positionals.length > 0 ? positionals : defaults;
  for (const one of chosen)
    if (!(one in parts)) throw new Error(`expected parts of ${Object.keys(parts).join(", ")}; found ${one}`);
  const seed = Number(values.seed ?? Date.now() % 2 ** 31);
  const minutes = Number(values.minutes ?? 5);
  const count = values.count === undefined ? undefined : Number(values.count);
  console.log(`${name}: ${chosen.join(", ")}; seed ${seed}`);
  const summary: Record<string, { made: number; lost: number }> = {};
  for (const one of chosen) {
    const { unit, run } = await parts[one]!();
    const end = performance.now() + (minutes * 60_000) / chosen.length;
    const goesOn = (made: number): boolean => (count === undefined ? performance.now() < end : made < count);
    const note = (text: string): void => console.log(`${one}: ${text}`);
    const { made, lost } = await run({ seed, goesOn, note }).catch((error: unknown): Outcome => ({
      made: 1,
      lost: [String((error as Error).stack ?? error)],
    }));
    for (const text of lost) console.log(`${one}: LOST: ${text}`);
    summary[unit] = { made, lost: lost.length };
  }
  const failed = Object.values(summary).some(({ lost }) => lost > 0);
  console.log(JSON.stringify({ [name]: failed ? "failed" : "passed", seed, ...summary }));
  process.exitCode = failed ? 1 : 0;
}
