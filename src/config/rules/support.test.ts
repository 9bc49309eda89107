import assert from "node:assert/strict";
import { test } from "node:test";

import { Config } from "../config.ts";
import { findKey } from "../schema/keys.ts";
import type { ConfigInput } from "../schema/schema.ts";
import { supportProblems, unsupported } from "./support.ts";
import { model, problemsOf } from "../testing.ts";

test("entries name keys of the schema, and their defaults pass", () => {
  for (const { key } of unsupported) assert.ok(findKey(key), key);
  const config = Config.create({ model });
  assert.deepEqual(supportProblems(config), []);
});

test("what is not supported yet is refused by name with what to use instead", () => {
  const cases: [ConfigInput, string][] = [
    [
      { training: { compile: true } },
      "training.compile: true is not supported yet; use false; fused operators are used in any case",
    ],
    [
      { metric_logging: { wandb: { project: "p" } } } as ConfigInput,
      "metric_logging.wandb is not supported; use metric_logging.tensorboard, whose event files Weights & Biases can sync (wandb sync)",
    ],
    [{ metrics: { log_freq: 1 } } as ConfigInput, "metrics is not supported; use metric_logging"],
  ];
  for (const [sections, message] of cases) {
    assert.deepEqual(
      problemsOf(() => Config.create({ model, ...sections })),
      [message],
    );
  }
});

test("allowUnsupported lets a valid configuration be looked at", () => {
  const config = Config.create({ model, training: { compile: true } }, { allowUnsupported: true });
  assert.equal(config.training.compile, true);
});
