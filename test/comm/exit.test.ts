// A rank that ends while calls are in flight.
import assert from "node:assert/strict";
import { test } from "node:test";

import { launch } from "./launch.ts";

for (const [how, code] of [
  ["exit", 7],
  ["throw", 1],
] as const) {
  test(
    `a process that ends by ${how} in mid-call is gone at once, with its own code`,
    { timeout: 60_000 },
    async () => {
      const [rank] = await launch("exit", 2, { args: [how], limitSeconds: 40 });
      assert.equal(rank!.notes.get("leaving"), true, rank!.stderr);
      assert.deepEqual({ code: rank!.code, signal: rank!.signal }, { code, signal: null }, rank!.stderr);
      assert.ok(rank!.seconds < 25, `${rank!.seconds} s`);
    },
  );
}
