import { test } from "node:test";

import { assertPassed, launch } from "./launch.ts";

test("mistakes in arguments on 2 processes", { timeout: 90_000 }, async (t) => {
  await assertPassed(t, await launch("arguments", 2, { limitSeconds: 60 }));
});
