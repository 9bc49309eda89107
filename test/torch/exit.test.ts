// A process with libtorch in it ends, with its code, also where something waits for ever while it does.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import test from "node:test";

const index = join(import.meta.dirname, "..", "..", "src", "torch", "index.ts");

for (const [how, end, expected] of [
  ["process.exit", "process.exit(7)", 7],
  ["an error that nothing catches", 'throw new Error("nobody catches this")', 1],
  ["no more work", "process.exitCode = 3", 3],
] as const) {
  test(`${how}: a wait without end is cut`, { timeout: 120_000 }, () => {
    const waits = 'process.on("exit", () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))';
    const { status, signal, stderr } = spawnSync(
      process.execPath,
      [
        "--input-type=module",
        "-e",
        `import { ones } from ${JSON.stringify(`file://${index}`)}; ones([2]).dispose(); ${waits}; ${end}`,
      ],
      { env: { ...process.env, NODE_TEST_CONTEXT: "" }, encoding: "utf8", timeout: 100_000 },
    );
    assert.deepEqual({ status, signal }, { status: expected, signal: null }, stderr);
  });
}
