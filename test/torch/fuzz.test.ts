// No input from TypeScript may crash the process: 10,000 random calls over the whole binding (fuzz/child.ts), in child
// processes, with fixed seeds: wrong types, wrong counts, disposed tensors, huge sizes, NaN sizes, other threads' tensors. FUZZ_SEED=7 tries others, `npm run fuzz native` many.
import assert from "node:assert/strict";
import test from "node:test";

import { randomCalls } from "../fuzz/native.ts";
import { mistakes } from "./fuzz/values.ts";

const calls = 2500;
const first = Number(process.env["FUZZ_SEED"] ?? 1);

for (const n of [0, 1, 2, 3]) {
  const seed = first + n;
  // Two of three with memory behind whose end, or before whose start, the process ends, rather than with what happens to lie there.
  const allocator = ["", "guard", "guard-before"][n % 3]!;
  test(
    `${calls} random calls, seed ${seed}${allocator && ", guarded memory"}`,
    { timeout: 300_000 },
    async () => {
      const { counts, died } = await randomCalls({ seed, calls, allocator });
      assert.equal(died, undefined);
      assert(counts !== undefined);
      assert.equal(counts.calls, calls);
      // Most random calls are wrong; enough are right for their results to be used again.
      assert(counts.results > calls / 10, JSON.stringify(counts));
      for (const mistake of mistakes) assert(counts.tried[mistake] >= 5, JSON.stringify(counts.tried));
    },
  );
}
