// A few of the damaged files of `npm run fuzz -- files`: each is read, or refused in words.
import assert from "node:assert/strict";
import { test } from "node:test";

import { files } from "./files.ts";
import { times } from "./part.ts";

void test(
  "damaged safetensors and GGUF files are read or refused in words",
  { timeout: 300_000 },
  async () => {
    const { made, lost } = await files.run(times(400, 1));
    assert.equal(made, 400);
    assert.deepEqual(lost, []);
  },
);
