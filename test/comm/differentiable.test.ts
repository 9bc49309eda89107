import { test } from "node:test";

import { assertPassed, launch } from "./launch.ts";

for (const size of [2, 4]) {
  test(`gradients of the collectives on ${size} processes`, { timeout: 120_000 }, async (t) => {
    await assertPassed(t, await launch("differentiable", size, { limitSeconds: 90 }));
  });
}
