import assert from "node:assert/strict";
import test from "node:test";

import { camelKeys } from "./index.ts";

void test("keys become camelCase, values stay as they are", () => {
  const section = { keep_latest_k: 2, initial_load_path: null, name: "a_b", inner: { left_alone: 1 } };
  const renamed: { keepLatestK: number; initialLoadPath: null; name: string; inner: { left_alone: number } } =
    camelKeys(section);
  assert.deepEqual(renamed, {
    keepLatestK: 2,
    initialLoadPath: null,
    name: "a_b",
    inner: { left_alone: 1 },
  });
});
