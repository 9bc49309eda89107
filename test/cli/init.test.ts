// `forge init` and the run that it names.
import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { forge, makePlace } from "./forge.ts";

test("writes a recipe that the next command takes, and overwrites none", async () => {
  const { folder, model, rows } = makePlace();
  const output = join(folder, "first.yaml");
  const args = ["init", "--data", rows, "--model", model, "--output", output];
  const made = await forge(args);
  assert.equal(made.code, 0, made.stderr);
  assert.equal(
    made.stdout,
    `${output}: 60 rows for ${model}. Now:\n  npx torchforge sft --config ${output}\n`,
  );
  const text = readFileSync(output, "utf8");
  assert.match(text, /\n {2}seq_len: 256 # the longest row has \d+ tokens; several rows share a sequence\n/);
  const dry = await forge(["sft", "--config", output, "--dry-run", `job.dump_folder=${join(folder, "out")}`]);
  assert.equal(dry.code, 0, dry.stderr);

  const again = await forge(args);
  assert.equal(again.code, 2);
  assert.match(again.stderr, /--output: .*first\.yaml is there already\. Give another name, or remove it/);
  rmSync(folder, { recursive: true });
});
