import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { makeWorkFolder } from "./work-folder.ts";

test("what a killed process left goes with the next one; what others use stays", () => {
  const parent = mkdtempSync(join(tmpdir(), "torchforge-work-folders-"));
  const module = pathToFileURL(join(import.meta.dirname, "work-folder.ts")).href;
  const killed = spawnSync(process.execPath, [
    "--input-type=module",
    "--eval",
    `import { writeFileSync } from "node:fs";
    const { makeWorkFolder } = await import(${JSON.stringify(module)});
    writeFileSync(makeWorkFolder("dry-run", ${JSON.stringify(parent)}) + "/file", "");
    process.kill(process.pid, "SIGKILL");`,
  ]);
  assert.equal(killed.signal, "SIGKILL", killed.stderr.toString());
  assert.equal(readdirSync(parent).length, 1);
  const others = ["torchforge-dry-run-another-host-999999-abcdef", "mine"];
  for (const name of others) mkdirSync(join(parent, name));
  const first = makeWorkFolder("dry-run", parent);
  writeFileSync(join(first, "file"), "");
  const second = makeWorkFolder("dry-run", parent);
  const expected = [...others, basename(first), basename(second)].sort();
  assert.deepEqual(readdirSync(parent).sort(), expected);
  rmSync(parent, { recursive: true });
});

test("where none can be made it says so", () => {
  assert.throws(() => makeWorkFolder("dry-run", "/proc/none"), {
    name: "UserError",
    message: /^can't make a temporary folder in \/proc\/none: ENOENT/,
  });
});
