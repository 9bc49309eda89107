// What a person sees of an actor in the terminal, where it is no terminal: a pipe.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import test from "node:test";

import { environment } from "../programs.ts";

test("notes and progress of rank 0, and what every rank prints, with its rank", { timeout: 120_000 }, () => {
  const show = (procs: number) =>
    spawnSync(process.execPath, [join(import.meta.dirname, "toys", "shown.ts"), String(procs)], {
      env: environment,
      encoding: "utf8",
      timeout: 100_000,
    });
  const one = show(1);
  assert.equal(one.status, 0, one.stderr);
  // What a process prints comes on another way than what its actor says: either may be first.
  const said = [
    "counting 1/4",
    "counting 2/4",
    "counting 3/4",
    "counting 4/4",
    "counted to 4",
    "cleaned up 1 times",
  ];
  assert.deepEqual(
    one.stdout.split("\n").filter((line) => line !== "hello"),
    [...said, ""],
  );
  assert.equal(one.stderr, "error hello\n");
  const two = show(2);
  assert.equal(two.status, 0, two.stderr);
  const sorted = (text: string) => text.split("\n").toSorted((a, b) => (a < b ? -1 : 1));
  assert.deepEqual(sorted(two.stdout), sorted([...said, "[rank 0] hello", "[rank 1] hello", ""].join("\n")));
  assert.deepEqual(sorted(two.stderr), sorted("[rank 0] error hello\n[rank 1] error hello\n"));
});
