// One rank of the pipeline's table test: five steps of every schedule, alone and with data parallelism, against one process
// that has all layers and computes all rows by itself. Losses, norms, every gradient, every parameter, the loss of
// evaluation. Tolerance: see beside.ts.
import assert from "node:assert/strict";

import { blockCosts, blockSpecs, parameterShapes } from "../../../src/models/index.ts";
import {
  type DataGroups,
  Fsdp,
  ParallelDims,
  Pipeline,
  placePipeline,
  Ranks,
  Replicate,
  type ScheduleName,
  Single,
  stagesPerRank,
  type Strategy,
} from "../../../src/parallel/index.ts";
import { float64, scope } from "../../../src/torch/index.ts";
import type { PackedBatch, StepOptions } from "../../../src/train/index.ts";
import type { Update } from "../../../src/train/update.ts";
import { check, joinWorld, leave, size } from "../../comm/rank.ts";
import { tinyConfig } from "../tiny.ts";
import { makeLearner, tolerance, trainBeside } from "./beside.ts";

interface Case {
  schedule: ScheduleName;
  tied: boolean;
  accumulation: number;
  packed: boolean;
  step: StepOptions;
  reshard?: "default" | "always" | "never";
}

const world = await joinWorld({ timeoutSeconds: 300 });

async function run(one: Case, { groups, ranks }: { groups: DataGroups; ranks: Ranks }): Promise<void> {
  const config = tinyConfig(one.tied);
  const specs = blockSpecs(config);
  const at = await placePipeline(one.schedule, groups.mesh!, specs, blockCosts(config, 64));
  using s = scope();
  void s;
  const options = { dtype: float64, device: "cpu" };
  const { replicate, shard } = groups;
  let inner: Strategy = new Single(at.specs, options);
  if (shard !== undefined)
    inner = new Fsdp(at.specs, shard, {
      ...options,
      replicate,
      reshardAfterForward: one.reshard ?? "never",
    });
  else if (replicate !== undefined) inner = new Replicate(at.specs, replicate, options);
  const strategy = new Pipeline(at, inner);
  const { step, accumulation, packed } = one;
  const mine = makeLearner({ config, strategy, ranks, step, blocks: at.blocks });
  assert.ok(mine.parameters.size < parameterShapes(config).size, "has a part of the model");
  const single = new Single(specs, options);
  const reference = makeLearner({ config, strategy: single, ranks: Ranks.one, step });
  const lossOf = (update: Update, batches: readonly PackedBatch[]): number =>
    batches.reduce((sum, batch) => sum + update.lossOf(batch), 0);
  const evaluate = (own: readonly PackedBatch[], all: readonly PackedBatch[]): void => {
    const [loss] = ranks.sum([lossOf(mine.update, own)]) as [number];
    const whole = lossOf(reference.update, all);
    assert.ok(Math.abs(loss - whole) <= tolerance * whole, `evaluation: ${loss} and ${whole}`);
  };
  trainBeside({ mine, strategy, ranks, reference, accumulation, packed, afterStep: evaluate });
}

const schedules: readonly ScheduleName[] = ["1F1B", "Interleaved1F1B", "GPipe", "ZBVZeroBubble"];
const modes: Record<string, StepOptions> = {
  none: { checkpointing: "none" },
  full: { checkpointing: "full" },
  "every second layer": { checkpointing: "selective", selective: 2 },
};

async function placeOf(pipeline: number, replicate: number, shard: number) {
  const dims = new ParallelDims(
    { pipeline, replicate, shard, context: 1, tensor: 1, expert: 1, expertTensor: 1 },
    size,
  );
  const groups = await dims.groups("cpu");
  return { groups, ranks: Ranks.ofWorld(groups.loss, dims.dataPart(world.globalRank)) };
}

const grids = (
  [
    [2, 1, 1],
    [2, 1, 2],
    [2, 2, 1],
    [4, 1, 1],
  ] as const
).filter(([pipeline, replicate, shard]) => pipeline * replicate * shard === size);

/** On two ranks every combination; on four, one of each kind. */
function casesOf(pipeline: number, replicate: number, schedule: ScheduleName): Case[] {
  const all = Object.values(modes).flatMap((step) =>
    [true, false].flatMap((tied) =>
      (
        [
          [1, true],
          [3, false],
          [3, true],
        ] as const
      ).map(([accumulation, packed]): Case => ({ schedule, tied, accumulation, packed, step })),
    ),
  );
  if (size === 2) return all;
  const two = { accumulation: 2, packed: true };
  if (pipeline === 4) {
    // Eight stages would be more than the model's five blocks.
    if (stagesPerRank(schedule) > 1) return [];
    return [{ schedule, tied: true, step: modes["none"]!, ...two }];
  }
  if (replicate > 1) return [{ schedule, tied: true, step: modes["full"]!, ...two }];
  return [
    { schedule, tied: true, step: modes["none"]!, ...two },
    { schedule, tied: false, step: modes["full"]!, ...two },
    { schedule, tied: true, step: modes["every second layer"]!, ...two, reshard: "always" },
  ];
}

for (const [pipeline, replicate, shard] of grids) {
  const place = await placeOf(pipeline, replicate, shard);
  for (const schedule of schedules) {
    for (const one of casesOf(pipeline, replicate, schedule)) {
      const mode = Object.entries(modes).find(([, step]) => step === one.step)![0];
      const parts = [
        `pipeline ${pipeline} x replicate ${replicate} x shard ${shard}`,
        schedule,
        `checkpointing ${mode}`,
        one.tied ? "tied" : "untied",
        `${one.accumulation} batches`,
        one.packed ? "packed" : "one document each",
        one.reshard === undefined ? [] : `reshard ${one.reshard}`,
      ];
      await check(parts.flat().join(", "), () => run(one, place));
    }
  }
}
leave();
