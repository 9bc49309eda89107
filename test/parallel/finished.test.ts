// A finished run of several ranks, started again: they agree on what is still to be written.
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { test } from "node:test";

import type { TrainerResult } from "../../src/train/index.ts";
import { exported, noted, shard, stepFolder, tensorsAt, train } from "./trainer-runs.ts";

test("two ranks export the model that is missing, and nothing else", { timeout: 600_000 }, async () => {
  const short = [shard(2), "training.steps=2", "eval.datasets=[]"];
  await train("bare", 2, short);
  const before = tensorsAt("bare", 2);
  const hf = `${stepFolder("bare", 2)}-hf`;
  assert.ok(!existsSync(hf));
  const exporting = await train("bare", 2, [...short, "checkpoint.last_save_in_hf=true"]);
  for (const rank of exporting) assert.equal(noted<TrainerResult>(rank, "result").model, hf);
  assert.ok(readdirSync(hf).includes("model.safetensors"));
  assert.deepEqual(tensorsAt("bare", 2), before);

  await train("alone", 2, [...short, ...exported]);
  const alone = tensorsAt("alone", 2);
  const again = await train("alone", 2, [...short, "checkpoint.last_save_in_hf=true"]);
  for (const rank of again) assert.equal(noted<TrainerResult>(rank, "result").model, stepFolder("alone", 2));
  assert.deepEqual(tensorsAt("alone", 2), alone);
});
