// One rank of the pipeline's table test: three steps of every schedule, alone and with data parallelism, against one process
// that has all layers and computes all rows by itself. Losses, norms, every gradient, every parameter, the loss of
// evaluation. Tolerance: see beside.ts.
import assert from "node:assert/strict";

import { parameterSpecs } from "../../../src/models/index.ts";
import { type ScheduleName, stagesPerRank } from "../../../src/parallel/index.ts";
import { scope } from "../../../src/torch/index.ts";
import type { StepOptions } from "../../../src/train/index.ts";
import { check, joinWorld, leave, size } from "../../comm/rank.ts";
import { tinyConfig } from "../tiny.ts";
import { assertTrainsAsOne, type Division, makePart, openDivision } from "./division.ts";

interface Case {
  schedule: ScheduleName;
  tied: boolean;
  accumulation: number;
  packed: boolean;
  step: StepOptions;
  reshard?: "default" | "always" | "never";
}

await joinWorld({ timeoutSeconds: 300 });

async function run(one: Case, division: Division): Promise<void> {
  const config = tinyConfig(one.tied);
  const { step, schedule, accumulation, packed, reshard = "never" } = one;
  using _ = scope();
  const part = await makePart(config, step, division, { schedule, reshard });
  assert.ok(part.mine.parameters.size < parameterSpecs(config).size, "has a part of the model");
  const { ranks } = division;
  assertTrainsAsOne(config, part, ranks, { accumulation, packed, byRows: false });
}

const schedules: readonly ScheduleName[] = ["1F1B", "Interleaved1F1B", "GPipe", "ZBVZeroBubble"];
const modes: Record<string, StepOptions> = {
  none: { checkpointing: "none" },
  full: { checkpointing: "full" },
  "every second layer": { checkpointing: "selective", selective: 2 },
};

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
  const division = await openDivision({ pipeline, replicate, shard });
  for (const schedule of schedules) {
    for (const one of casesOf(pipeline, replicate, schedule)) {
      const mode = Object.entries(modes).find(([, step]) => step === one.step)![0];
      const parts = [
        division.title,
        schedule,
        `checkpointing ${mode}`,
        one.tied ? "tied" : "untied",
        `${one.accumulation} batches`,
        one.packed ? "packed" : "one document each",
        one.reshard === undefined ? [] : `reshard ${one.reshard}`,
      ];
      await check(parts.flat().join(", "), () => run(one, division));
    }
  }
}
leave();
