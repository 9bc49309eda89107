// Some of the configurations of `npm run fuzz -- configurations`: each is valid, or refused in words.
import assert from "node:assert/strict";
import { test } from "node:test";

import { configurations } from "./configurations.ts";
import { times } from "./part.ts";

void test("wrong values in configurations are refused in words", { timeout: 300_000 }, async () => {
  const { made, lost } = await configurations.run(times(300, 1));
  assert.equal(made, 300);
  assert.deepEqual(lost, []);
});
