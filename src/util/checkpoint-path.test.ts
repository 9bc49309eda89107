import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { checkpointPath, isResumable } from "./checkpoint-path.ts";

const dir = mkdtempSync(join(tmpdir(), "torchforge-checkpoint-path-"));
after(() => rmSync(dir, { recursive: true, force: true }));

test("a checkpoint as people name it", () => {
  for (const name of ["step-9", "step-1000", "step-2000"]) mkdirSync(join(dir, name));
  const save = (step: number, sequence: number, kind = "full"): void =>
    writeFileSync(join(dir, `step-${step}`, "state.json"), JSON.stringify({ kind, step, sequence }));
  save(9, 1);
  save(1000, 2);
  const at = (name: string): string => join(dir, name);
  assert.equal(checkpointPath(at("step-9")), at("step-9"));
  assert.equal(checkpointPath(at("step_1000")), at("step-1000"));
  assert.equal(checkpointPath(`${at("step_1000")}/`), `${at("step-1000")}/`);
  assert.equal(checkpointPath(dir), at("step-1000")); // step-2000 isn't complete
  save(9, 3, "model"); // a run that went back to an earlier step saved this one last
  assert.equal(checkpointPath(dir), at("step-9"));
  assert.deepEqual(
    ["step-9", "step-1000", "step-2000", "absent"].map((name) => isResumable(at(name))),
    [false, true, false, false],
  );
  // Whoever looks there says what is wrong with these.
  assert.equal(checkpointPath(at("step_3")), at("step_3"));
  assert.equal(checkpointPath(at("step-2000")), at("step-2000"));
  assert.equal(checkpointPath(at("step-9/state.json")), at("step-9/state.json"));
  writeFileSync(at("config.json"), "{}");
  assert.equal(checkpointPath(dir), dir); // a model folder
});
