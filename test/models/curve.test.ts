// Whole training runs against Transformers: same rows, same order, same optimizer, float32. The curves and the script that
// made them are in test/fixtures/curves. The 50 steps of the real model take minutes:
//   node test/models/curve.ts check smollm2-50
import assert from "node:assert/strict";
import { suite, test } from "node:test";

import { curvePath, train } from "./curve.ts";

void suite("losses of a run equal Transformers'", () => {
  for (const [name, timeout] of [
    ["tiny", 120_000],
    ["smollm2-5", 400_000],
  ] as const) {
    void test(`${name}: every step to 1e-4 relative`, { timeout }, async () => {
      const { expected, packsSha256, losses, gradNorms } = await train(name);
      assert.equal(packsSha256, expected.packsSha256, `other packs: make ${curvePath(name)} anew`);
      assert.equal(losses.length, expected.steps);
      assert.ok(losses.at(-1)! < losses[0]!, "the loss falls");
      for (const [i, loss] of expected.losses.entries()) {
        assert.ok(
          Math.abs(losses[i]! / loss - 1) <= 1e-4,
          `step ${i + 1}: loss ${losses[i]}, expected ${loss}`,
        );
        const norm = expected.gradNorms[i]!;
        assert.ok(
          Math.abs(gradNorms[i]! / norm - 1) <= 1e-3,
          `step ${i + 1}: norm ${gradNorms[i]}, expected ${norm}`,
        );
      }
    });
  }
});
