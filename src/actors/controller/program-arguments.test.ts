import assert from "node:assert/strict";
import test from "node:test";

import { programArguments, workerArguments } from "./program-arguments.ts";

test("a worker gets loaders and settings, not what is this program's alone", () => {
  assert.deepEqual(programArguments(["--import", "tsx", "--env-file=.env", "--max-old-space-size=4096"]), [
    ...workerArguments,
    "--import",
    "tsx",
    "--env-file=.env",
    "--max-old-space-size=4096",
  ]);
  for (const own of [
    ["-e", "code"],
    ["--input-type=module", "--eval", "code"],
    ["--input-type", "module", "--eval=code"],
    ["-p", "1"],
    ["--inspect"],
    ["--inspect-brk=0"],
    ["--test", "--test-concurrency=1", "--test-name-pattern", "x"],
    ["--watch", "--watch-path=src"],
    ["-i"],
  ])
    assert.deepEqual(programArguments(own), workerArguments, own.join(" "));
});
