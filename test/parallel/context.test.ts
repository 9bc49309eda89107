// Context parallelism against one process, number by number: see ranks/context.ts.
import { join } from "node:path";
import { test } from "node:test";

import { assertPassed, launch } from "../comm/launch.ts";

const script = join(import.meta.dirname, "ranks", "context");

for (const size of [2, 4]) {
  test(`${size} processes with divided sequences train as one`, { timeout: 1_600_000 }, async (t) => {
    await assertPassed(t, await launch(script, size, { limitSeconds: 1500 }));
  });
}
