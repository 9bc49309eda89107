import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import test from "node:test";

import { isProcessAlive } from "./process.ts";

void test("this process is alive; one that ended is not, even before its parent asked about it", async () => {
  assert.ok(isProcessAlive(process.pid));
  // The shell's child ends at once; the shell becomes a program that never asks about it.
  const shell = spawn("sh", ["-c", "sleep 0 & echo $!; exec sleep 20"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [line] = (await once(shell.stdout, "data")) as [Buffer];
  const child = Number(line.toString());
  const deadline = Date.now() + 5000;
  while (isProcessAlive(child) && Date.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 10));
  assert.equal(isProcessAlive(child), false);
  shell.kill("SIGKILL");
  await once(shell, "exit");
  assert.equal(isProcessAlive(shell.pid!), false);
});
