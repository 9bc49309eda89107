// Gloo with tensors of a device goes by way of main memory. Without a GPU tensors of the CPU go the same way: every collective and
// every gradient is what it is without.
import { test } from "node:test";

import { assertPassed, launch } from "./launch.ts";

const env = () => ({ TEST_STAGED: "1" });

for (const script of ["collectives", "differentiable"]) {
  test(`${script} on 2 processes, by way of main memory`, { timeout: 180_000 }, async (t) => {
    await assertPassed(t, await launch(script, 2, { env, limitSeconds: 150 }));
  });
}
