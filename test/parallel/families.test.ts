// Every family under every kind of division against one process, number by number: see ranks/families.ts.
import { join } from "node:path";
import { test } from "node:test";

import { assertPassed, launch } from "../comm/launch.ts";

test("2 processes train each family as one", { timeout: 1_600_000 }, async (t) => {
  const script = join(import.meta.dirname, "ranks", "families");
  await assertPassed(t, await launch(script, 2, { args: process.argv.slice(2), limitSeconds: 1500 }));
});
