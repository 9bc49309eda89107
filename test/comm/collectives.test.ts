import { test } from "node:test";

import { assertPassed, launch } from "./launch.ts";

for (const size of [2, 4]) {
  test(`every collective on ${size} processes`, { timeout: 180_000 }, async (t) => {
    await assertPassed(t, await launch("collectives", size, { limitSeconds: 150 }));
  });
}
