import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";

import { removeLeftovers } from "./leftovers.ts";

test("what a process was writing goes; files of others and finished ones stay", () => {
  const folder = mkdtempSync(join(tmpdir(), "torchforge-leftovers-"));
  try {
    mkdirSync(join(folder, ".step-5.tmp-77"));
    writeFileSync(join(folder, ".step-5.tmp-77", "model.safetensors"), "half");
    for (const name of ["run.json.77.tmp", "run.json", "run.json.177.tmp", ".step-4.old-77"])
      writeFileSync(join(folder, name), "");
    assert.deepEqual(removeLeftovers(folder, 77).toSorted(), [".step-5.tmp-77", "run.json.77.tmp"]);
    assert.deepEqual(readdirSync(folder).toSorted(), [".step-4.old-77", "run.json", "run.json.177.tmp"]);
    assert.deepEqual(removeLeftovers(join(folder, "nowhere"), 77), []);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
