import assert from "node:assert/strict";
import { test } from "node:test";

import { explain, explanationText } from "./explain.ts";
import { allKeys } from "../schema/keys.ts";

test("a key is explained with type, default, unit, advice, rules", () => {
  assert.equal(
    explanationText(explain("training.seq_len")),
    [
      "training.seq_len",
      "",
      "  Longest sequence, and length of a pack.",
      "",
      "  type     a whole number of at least 1",
      "  default  2048",
      "  unit     tokens",
      "  advice   Halve it when memory runs out, or when the rows are short. `forge data stats` shows their lengths.",
      "  rule     training.seq_len must be a multiple of the tensor degree × 2 × the context degree (without the 2 where the context degree is 1)",
    ].join("\n"),
  );
});

test("what is not supported yet is said", () => {
  assert.match(
    explanationText(explain("training.compile")),
    /\n {2}for now {2}only the default is supported; use false; fused operators are used in any case$/,
  );
});

test("a section lists its keys, and a list of data sets the keys of an entry", () => {
  assert.deepEqual(explain("processes").keys, [
    "processes.procs",
    "processes.with_gpus",
    "processes.max_restarts",
  ]);
  assert.match(explanationText(explain("processes")), /\n {4}processes\.procs {9}default 1\n/);
  assert.ok(explain("eval.datasets").keys.includes("eval.datasets[].split"));
  assert.equal(explain("eval.datasets[0].split").key, "eval.datasets[].split");
  assert.equal(explain("model.hf_assets_path").default, "none, must be given");
  assert.equal(explain("optimizer.lr").default, "1e-5");
});

test("an unknown key names the nearest, with exit code 2", () => {
  assert.throws(() => explain("training.maxnorm"), {
    message: "training.maxnorm is not a key; did you mean training.max_norm?",
    exitCode: 2,
  });
  assert.throws(() => explain("maxnorm"), {
    message: "maxnorm is not a key; did you mean training.max_norm?",
  });
  assert.throws(() => explain("wandb"), {
    message: /^wandb is not a section; the sections are: job, model, /,
  });
});

test("every key is documented", () => {
  for (const { name, meta } of allKeys()) {
    assert.match(meta.description, /^[A-Za-z1].+\.$/, `${name}: ${meta.description}`);
  }
});
