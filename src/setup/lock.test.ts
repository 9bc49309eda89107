import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { withLock } from "./lock.ts";

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "torchforge-lock-"));
});
after(() => rmSync(folder, { recursive: true }));

/** The id of a process that has ended. */
function deadPid(): number {
  return spawnSync(process.execPath, ["-e", ""]).pid;
}

test("work is done one at a time, and the lock goes away, on errors too", { timeout: 20_000 }, async () => {
  const file = join(folder, "a.lock");
  await assert.rejects(
    withLock(file, () => Promise.reject(new Error("failed inside"))),
    /failed inside/,
  );
  assert.equal(existsSync(file), false);

  const events: string[] = [];
  const work = (name: string) => async () => {
    events.push(`${name} in`);
    await new Promise((done) => setTimeout(done, 50));
    events.push(`${name} out`);
  };
  const waited: string[] = [];
  await Promise.all([withLock(file, work("x")), withLock(file, work("y"), (holder) => waited.push(holder))]);
  assert.deepEqual(events, ["x in", "x out", "y in", "y out"]);
  assert.deepEqual(waited, [`${process.pid} ${hostname()}`]);
});

test("a dead process's lock is taken over at once", { timeout: 20_000 }, async () => {
  const file = join(folder, "dead.lock");
  writeFileSync(file, `${deadPid()} ${hostname()}`);
  assert.equal(await withLock(file, () => Promise.resolve("mine")), "mine");
});

test("another machine's lock is taken over when it stopped beating", { timeout: 20_000 }, async () => {
  const file = join(folder, "other.lock");
  writeFileSync(file, "1 another-machine");
  const longAgo = new Date(Date.now() - 3_600_000);
  utimesSync(file, longAgo, longAgo);
  assert.equal(await withLock(file, () => Promise.resolve("mine")), "mine");
});
