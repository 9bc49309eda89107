import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { makeFolder } from "./make-folder.ts";

const dir = mkdtempSync(join(tmpdir(), "torchforge-folders-"));
after(() => rmSync(dir, { recursive: true }));

test("a folder is made with those above it; one that is there stays", () => {
  const deep = join(dir, "a", "b", "c");
  makeFolder(deep);
  makeFolder(deep);
  makeFolder(`${deep}/`);
  makeFolder("/");
  assert.ok(existsSync(deep));
  symlinkSync(deep, join(dir, "link"));
  makeFolder(join(dir, "link"));
});

test("what is in the way is named", () => {
  const file = join(dir, "file");
  writeFileSync(file, "");
  for (const path of [file, join(file, "x"), join(file, "x", "y")])
    assert.throws(() => makeFolder(path), { message: `${file} is a file, not a folder` });
});

test("where no folder can be made it ends, too", { skip: !existsSync("/proc/self") }, () => {
  // Node's mkdirSync(…, { recursive: true }) hangs here.
  for (const path of ["/proc/torchforge", "/proc/torchforge/a/b"])
    assert.throws(() => makeFolder(path), {
      message: /^(the system lets nobody make \/proc\/torchforge|E(ACCES|PERM|ROFS)\b.*)$/,
    });
});
