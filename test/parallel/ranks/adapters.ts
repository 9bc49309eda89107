// One rank of the table of adapters: three steps of each strategy against one process. Only what is trained has a gradient, counts
// in the norm and changes. Tolerance: see beside.ts.
import assert from "node:assert/strict";

import { type AdapterSettings, type ModelConfig, tunedBlocks } from "../../../src/models/index.ts";
import { type BlockSpec, mapParameters } from "../../../src/nn/index.ts";
import type { Degrees, ScheduleName } from "../../../src/parallel/index.ts";
import { scope } from "../../../src/torch/index.ts";
import type { StepOptions } from "../../../src/train/index.ts";
import { check, joinWorld, leave } from "../../comm/rank.ts";
import { evenDense, evenMoe } from "../tiny.ts";
import { trainBeside } from "./beside.ts";
import { aloneOf } from "./alone.ts";
import { assertSameAnswers, evaluates, makePart, openDivision } from "./division.ts";

const settings: AdapterSettings = {
  method: "lora",
  rank: 3,
  alpha: 6,
  dropout: 0,
  targetModules: "all-linear",
  rankPattern: { o_proj: 4 },
  alphaPattern: {},
  modulesToSave: [],
  layers: undefined,
};

/** With adapters whose product isn't zero, or nothing would be learned of lora_A at first. */
const tuneWith =
  (changes: Partial<AdapterSettings>) =>
  (blocks: readonly BlockSpec[]): readonly BlockSpec[] =>
    tunedBlocks(blocks, { trainable: [], adapter: { ...settings, ...changes } }).map((block) =>
      mapParameters(block, (spec) =>
        spec.init === "zeros" && spec.trainable ? { ...spec, init: "uniform" } : spec,
      ),
    );

interface Case {
  readonly model?: ModelConfig;
  readonly degrees: Partial<Degrees>;
  readonly schedule?: ScheduleName;
  readonly changes?: Partial<AdapterSettings>;
  readonly modes?: readonly NonNullable<StepOptions["checkpointing"]>[];
}

const dora = { method: "dora" } as const;
const saved = { modulesToSave: ["embed_tokens", "model.norm"], layers: "1:" };

const cases: Record<string, Case> = {
  replicas: { degrees: { replicate: 2 } },
  shards: { degrees: { shard: 2 }, modes: ["selective", "full"] },
  "shards, DoRA": { degrees: { shard: 2 }, changes: dora },
  "shards, with modules that are trained": { degrees: { shard: 2 }, changes: saved },
  "tensor parallelism": { degrees: { tensor: 2 }, modes: ["selective", "full"] },
  "tensor parallelism, DoRA": { degrees: { tensor: 2 }, changes: dora },
  "tensor parallelism, with modules that are trained": { degrees: { tensor: 2 }, changes: saved },
  "context parallelism": { degrees: { context: 2 } },
  "a pipeline": { degrees: { pipeline: 2 }, schedule: "1F1B", modes: ["selective", "full"] },
  "a pipeline with split backward, DoRA": {
    degrees: { pipeline: 2 },
    schedule: "ZBVZeroBubble",
    changes: dora,
  },
  "a pipeline, with modules that are trained": {
    degrees: { pipeline: 2 },
    schedule: "GPipe",
    changes: saved,
  },
  "divided experts": { model: evenMoe, degrees: { shard: 2, expert: 2 } },
  "experts in parts": { model: evenMoe, degrees: { tensor: 2, expertTensor: 2 } },
};

await joinWorld({ timeoutSeconds: 300 });
const one = ["none"] as const;
for (const [title, { model = evenDense, degrees, schedule, changes = {}, modes = one }] of Object.entries(
  cases,
)) {
  const division = await openDivision(degrees);
  for (const checkpointing of modes) {
    await check(`${title}, checkpointing ${checkpointing}`, async () => {
      using _ = scope();
      const tune = tuneWith(changes);
      const part = await makePart(model, { checkpointing }, division, { schedule, tune });
      const { strategy } = part;
      assert.deepEqual([...strategy.saved.keys()], [...strategy.trained.keys()], "the base isn't saved");
      assert.ok(strategy.trained.size < strategy.parameters.size);
      const { ranks } = division;
      const rows = { count: 2 * ranks.data.worldSize, packed: true, byRows: schedule !== undefined };
      const { steps, answers } = aloneOf(model, rows, tune);
      const afterStep = evaluates(part, ranks);
      trainBeside({ ...part, ranks, alone: steps, accumulation: 2, packed: true, afterStep });
      if (degrees.context === undefined) assertSameAnswers(part, answers);
    });
  }
}
leave();
