import { test } from "node:test";

import { assertPassed, launch } from "./launch.ts";

test("waiting leaves the event loop free", { timeout: 90_000 }, async (t) => {
  const env = () => ({ NODE_OPTIONS: "--expose-gc" });
  await assertPassed(t, await launch("async", 2, { limitSeconds: 60, env }));
});
