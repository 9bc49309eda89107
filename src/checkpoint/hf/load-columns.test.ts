import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { arange, bfloat16, empty, float32, noGrad, scope } from "../../torch/index.ts";
import { loadWeights } from "./load.ts";
import { saveWeights } from "./save.ts";

void test("a rank's columns are read alone where a row of them is long, and cut out of rows where it is short", () => {
  const folder = mkdtempSync(join(tmpdir(), "torchforge-columns-"));
  using _ = scope();
  try {
    const long = arange(6 * 4096, { dtype: float32 }).view([6, 4096]);
    const short = arange(6 * 8, { dtype: float32 }).view([6, 8]);
    saveWeights(
      folder,
      new Map([
        ["long", long],
        ["short", short],
      ]),
    );
    for (const dtype of [float32, bfloat16]) {
      const columns = { long: { start: 1024, length: 2048 }, short: { start: 3, length: 2 } };
      const targets = new Map([
        ["long", empty([3, 2048], { dtype })],
        ["short", empty([3, 2], { dtype })],
      ]);
      const rows = { dim: 0, start: 2, length: 3 };
      const slices = new Map(
        Object.entries(columns).map(([name, some]) => [name, { ...rows, columns: some }]),
      );
      const { bytes } = loadWeights(folder, targets, { slices });
      assert.equal(bytes, 3 * 2048 * 4 + 3 * 8 * 4);
      for (const [name, whole] of [
        ["long", long],
        ["short", short],
      ] as const) {
        const { start, length } = columns[name];
        const expected = noGrad(() => whole.narrow(0, 2, 3).narrow(1, start, length).to(dtype));
        assert.deepEqual(targets.get(name)!.tolist(), expected.tolist());
      }
    }
    const wide = new Map([
      ["long", empty([3, 2048])],
      ["short", empty([6, 8])],
    ]);
    const slices = new Map([
      ["long", { dim: 0, start: 0, length: 3, columns: { start: 4000, length: 2048 } }],
    ]);
    assert.throws(() => loadWeights(folder, wide, { slices }), {
      name: "UserError",
      message: /long: expected at least 6048 entries in dimension 1, found \[6, 4096\]/,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
