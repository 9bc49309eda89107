import assert from "node:assert/strict";
import { test } from "node:test";

import { checks } from "./checks.ts";
import { Config } from "../config.ts";
import { findKey } from "../schema/keys.ts";
import { model, problemsOf } from "../testing.ts";

test("every check names keys of the schema", () => {
  for (const check of checks) for (const key of check.keys) assert.ok(findKey(key), key);
});

test("a check does not run on a key that is wrong by itself", () => {
  const create = () => Config.create({ model, training: { local_batch_size: 2, global_batch_size: -3 } });
  assert.deepEqual(problemsOf(create), [
    "training.global_batch_size: expected a whole number of at least 1, or -1, found -3",
  ]);
});
