import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { empty, scope, withoutHugePages } from "./index.ts";

/** MiB of this process's memory that may have huge pages (flag "hg" of its mappings). */
function mayBeHuge(): number {
  if (!existsSync("/proc/self/smaps")) return 0;
  let size = 0;
  let sum = 0;
  for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    const found = /^Size: +(\d+) kB/.exec(line);
    if (found) size = Number(found[1]);
    if (/^VmFlags:.* hg\b/.test(line)) sum += size / 1024;
  }
  return sum;
}

void test("memory that is taken in withoutHugePages has usual pages, and before and after it may have huge ones", () => {
  using _ = scope();
  const bytes = 64 << 20;
  const huge = existsSync("/sys/kernel/mm/transparent_hugepage") ? 64 : 0; // MiB; 0 where a system has none
  const grown = (take: () => unknown): number => {
    const before = mayBeHuge();
    take();
    return mayBeHuge() - before;
  };
  const usual = (): unknown => empty([bytes / 4]);
  assert.ok(grown(usual) >= huge);
  assert.equal(
    grown(() => withoutHugePages(usual)),
    0,
  );
  assert.throws(() => withoutHugePages(() => assert.fail("as it fails")), /as it fails/);
  assert.ok(grown(usual) >= huge);
});
