// The last save of a divided model, and its loading, by ranks that never hold all of it: see ranks/export.ts. That every
// strategy's export is right is seen in the tests of the trainer with that strategy.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { assertPassed, launch } from "../comm/launch.ts";

test("two ranks save and load a model that neither holds", { timeout: 300_000 }, async (t) => {
  const work = mkdtempSync(join(tmpdir(), "torchforge-export-"));
  try {
    const script = join(import.meta.dirname, "ranks", "export");
    await assertPassed(t, await launch(script, 2, { args: [work], limitSeconds: 280 }));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});
