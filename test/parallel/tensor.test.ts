// Tensor parallelism against one process, number by number: see ranks/tensor.ts.
import { join } from "node:path";
import { test } from "node:test";

import { assertPassed, launch } from "../comm/launch.ts";

const script = join(import.meta.dirname, "ranks", "tensor");

for (const size of [2, 4]) {
  test(`${size} processes with divided matrices train as one`, { timeout: 1_600_000 }, async (t) => {
    await assertPassed(t, await launch(script, size, { limitSeconds: 1500 }));
  });
}
