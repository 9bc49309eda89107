import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { stripVTControlCharacters } from "node:util";

import { verdict } from "../verify-resume.ts";
import { compareRuns } from "./compare.ts";

const work = mkdtempSync(join(tmpdir(), "torchforge-compare-"));
test.after(() => rmSync(work, { recursive: true, force: true }));

interface Left {
  losses?: (number | string)[];
  state?: Record<string, unknown>;
}

const state = {
  checksums: { "model/w": 1, "model/v": 2, "optimizer/w.exp_avg": 3 },
  random: { cpu: { $Uint8Array: "AA==" } },
  parts: { dataloader: { row: 5 } },
};

let runs = 0;
function run({ losses = [2, 1.5], state: changed = {} }: Left = {}): string {
  const folder = join(work, `run-${runs++}`);
  mkdirSync(join(folder, "checkpoint", "step-2"), { recursive: true });
  const lines = losses.map((loss, i) =>
    JSON.stringify({ kind: "train", step: i + 1, loss, grad_norm: 1, learning_rate: 0.1, num_tokens: 9 }),
  );
  writeFileSync(join(folder, "metrics.jsonl"), `${lines.join("\n")}\n`);
  writeFileSync(join(folder, "checkpoint", "step-2", "state.json"), JSON.stringify({ ...state, ...changed }));
  return folder;
}

const differences = (a: string, b: string) =>
  compareRuns(a, b, 2).flatMap(({ name, difference }) =>
    difference === undefined ? [] : [`${name}: ${difference}`],
  );

void test("runs that left the same are identical", () => {
  assert.deepEqual(differences(run(), run()), []);
  assert.deepEqual(differences(run(), run({ state: { parts: { dataloader: { row: 5, now: 9 } } } })), []);
  const ofRanks = (now: number) =>
    run({
      state: {
        parts: {
          dataloader: [
            { row: 5, now },
            { row: 6, now },
          ],
        },
      },
    });
  assert.deepEqual(differences(ofRanks(1), ofRanks(2)), []);
  assert.deepEqual(differences(run({ losses: ["NaN", 1] }), run({ losses: ["NaN", 1] })), []);
  const text = stripVTControlCharacters(verdict(compareRuns(run(), run(), 2), true));
  assert.equal(
    text,
    [
      "  identical  losses         of 2 steps, with gradient norms, learning rates and token counts",
      "  identical  weights        2 tensors",
      "  identical  optimizer      1 tensors",
      "  identical  data position  of the loader, with its packing buffer",
      "  identical  random state   of every generator",
      "",
      "A resume is exact with this configuration.",
    ].join("\n"),
  );
});

void test("every difference is named", () => {
  const reference = run();
  const compared = (left: Left): string[] => differences(reference, run(left));
  assert.deepEqual(compared({ losses: [2, 1.5000000000000002] }), [
    "losses: step 2: loss 1.5000000000000002 instead of 1.5",
  ]);
  assert.deepEqual(compared({ losses: [2] }), ["losses: step 2 was not logged"]);
  assert.deepEqual(compared({ state: { checksums: { ...state.checksums, "model/v": 7 } } }), [
    "weights: 1 of 2 tensors, the first v",
  ]);
  assert.deepEqual(compared({ state: { checksums: { "model/w": 1, "model/v": 2 } } }), [
    "optimizer: 1 of 1 tensors, the first w.exp_avg",
  ]);
  assert.deepEqual(compared({ state: { parts: { dataloader: { row: 6 } } } }), [
    "data position: of the loader, with its packing buffer: not the same",
  ]);
  assert.deepEqual(compared({ state: { random: undefined } }), ["random state: the checkpoints hold none"]);
  rmSync(join(reference, "checkpoint"), { recursive: true });
  assert.throws(() => compareRuns(reference, reference, 2), {
    name: "UserError",
    message: /step-2.state\.json: expected the run's last checkpoint, found none\./,
  });
});
