import assert from "node:assert/strict";
import { test } from "node:test";

import { Config } from "./config.ts";
import { section } from "./section.ts";
import { problemsOf } from "./testing.ts";

test("a section gives back what it was given", () => {
  const values = { local_batch_size: 2, steps: 5 };
  assert.equal(section.training(values), values);
  assert.deepEqual(values, { local_batch_size: 2, steps: 5 });
});

test("there is one for every section of a configuration", () => {
  const config = Config.create({ model: { hf_assets_path: "m" } });
  assert.deepEqual(Object.keys(section), Object.keys(config.toObject()));
});

test("a wrong value and an unknown key are reported by the section, with the full key", () => {
  assert.deepEqual(
    problemsOf(() => section.training({ steps: 0, seqlen: 5 } as never)),
    [
      "training.seqlen is not a key; did you mean training.seq_len?",
      "training.steps: expected a whole number of at least 1, found 0",
    ],
  );
  assert.match(problemsOf(() => section.model({}))[0]!, /^model\.hf_assets_path is missing/);
  assert.deepEqual(
    problemsOf(() => section.optimizer([] as never)),
    ["optimizer: expected a section with keys, found []"],
  );
  assert.throws(
    () => section.checkpoint({ folder: new Map() } as never),
    /^UserError: checkpoint\.folder: expected plain data .* found Map$/,
  );
});

test("a section that isn't there is named, with the one that was meant; without values it says so", () => {
  const wrong = section as unknown as Record<string, (values?: object) => unknown>;
  assert.deepEqual(
    problemsOf(() => wrong["trainin"]!({ steps: 1 })),
    ["trainin is not a key; did you mean training?"],
  );
  assert.throws(() => wrong["training"]!(), /^UserError: training: expected plain data .*, found nothing$/);
  assert.equal((section as { then?: unknown }).then, undefined);
  assert.deepEqual(Object.keys(section).slice(0, 2), ["job", "model"]);
});

test("checks within the section run, and so does what is not supported yet", () => {
  assert.match(
    problemsOf(() => section.checkpoint({ keep_latest_k: 1 }))[0]!,
    /^checkpoint\.keep_latest_k: 1 /,
  );
  assert.match(problemsOf(() => section.training({ compile: true }))[0]!, /^training\.compile: true is not/);
});

test("what hangs on another section is left to Config.create", () => {
  section.processes({ procs: 8 });
  section.training({ local_batch_size: 2, global_batch_size: 8, seq_len: "${training.steps}" });
  section.checkpoint({ folder: "${model.hf_assets_path}/saved", create_seed_checkpoint: true });
  assert.match(
    problemsOf(() =>
      Config.create({
        model: { hf_assets_path: "m" },
        processes: { procs: 8 },
        parallelism: { data_parallel_shard_degree: 3 },
      }),
    )[0]!,
    /processes\.procs \(8\)/,
  );
});
