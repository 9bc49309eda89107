import assert from "node:assert/strict";
import { test } from "node:test";

import { parseSplit } from "./split.ts";

test("splits", () => {
  assert.deepEqual(parseSplit("train"), { name: "train" });
  assert.deepEqual(parseSplit("train[:95%]"), { name: "train", to: { value: 95, unit: "percent" } });
  assert.deepEqual(parseSplit("test[-100:]"), { name: "test", from: { value: -100, unit: "rows" } });
  assert.deepEqual(parseSplit("a.b-c[1:2]"), {
    name: "a.b-c",
    from: { value: 1, unit: "rows" },
    to: { value: 2, unit: "rows" },
  });
  assert.throws(() => parseSplit("train[1]"), /not a split: train\[1\]/);
});
