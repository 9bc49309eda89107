import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const program = join(import.meta.dirname, "..", "cli", "main.ts");

void test("a cache folder that can't be made neither hangs a command nor ends it", () => {
  const { NODE_COMPILE_CACHE: _, ...env } = process.env;
  for (const cache of ["/proc/torchforge", "/dev/null/torchforge"]) {
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, [program, "--version"], {
      env: { ...env, TORCHFORGE_CACHE: cache },
      encoding: "utf8",
      timeout: 60_000,
      killSignal: "SIGKILL",
    });
    assert.deepEqual([status, signal], [0, null], stderr);
    assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
  }
});
