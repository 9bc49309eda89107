// Adapters of models that are divided among processes, against one process: see ranks/adapters.ts.
import { join } from "node:path";
import { test } from "node:test";

import { assertPassed, launch } from "../comm/launch.ts";

const script = join(import.meta.dirname, "ranks", "adapters");

test("2 processes train adapters as one", { timeout: 800_000 }, async (t) => {
  await assertPassed(t, await launch(script, 2, { limitSeconds: 700 }));
});
