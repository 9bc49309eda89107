// Models of which only some parameters are trained, divided among processes, against one process: see ranks/frozen.ts.
import { join } from "node:path";
import { test } from "node:test";

import { assertPassed, launch } from "../comm/launch.ts";

const script = join(import.meta.dirname, "ranks", "frozen");

test("2 processes train some of the parameters as one", { timeout: 800_000 }, async (t) => {
  await assertPassed(t, await launch(script, 2, { limitSeconds: 700 }));
});
