// A few of the flips of `npm run fuzz -- flips`: each is found, in whatever file it is and whoever reads it.
import assert from "node:assert/strict";
import { test } from "node:test";

import { flips } from "./flips.ts";
import { times } from "./part.ts";

void test(
  "a flipped bit anywhere in a step folder is found by every reader",
  { timeout: 300_000 },
  async () => {
    const notes: string[] = [];
    const { made, lost } = await flips.run({ ...times(200, 1), note: (text) => notes.push(text) });
    assert.equal(made, 200);
    assert.deepEqual(lost, []);
    assert.deepEqual(notes, ["200 flips, of which 0 changed nothing that is read, and nobody told of them"]);
  },
);
