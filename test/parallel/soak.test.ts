// A few of the kills of `npm run soak`; see soak.ts.
import assert from "node:assert/strict";
import { test } from "node:test";

import { soak } from "./soak.ts";

test(
  "a run of two ranks that loses one of them three times loses nothing",
  { timeout: 900_000 },
  async () => {
    const { kills, looks } = await soak(3, 7);
    assert.equal(kills, 3);
    assert.ok(looks > 3, `${looks} looks`);
  },
);
