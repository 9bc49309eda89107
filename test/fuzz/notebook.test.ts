// The first cells of `npm run soak -- notebook`: each answers as it should, and the kernel costs no more after them.
import assert from "node:assert/strict";
import { test } from "node:test";

import { notebook } from "./notebook.ts";
import { times } from "./part.ts";

void test(
  "a kernel answers 500 cells, and none costs more than the first",
  { timeout: 600_000 },
  async () => {
    const { made, lost } = await notebook.run(times(500, 3));
    assert.equal(made, 500);
    assert.deepEqual(lost, []);
  },
);
