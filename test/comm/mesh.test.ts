import { test } from "node:test";

import { assertPassed, launch } from "./launch.ts";

test("sub-groups and the device mesh on 4 processes", { timeout: 120_000 }, async (t) => {
  await assertPassed(t, await launch("mesh", 4, { limitSeconds: 90 }));
});
