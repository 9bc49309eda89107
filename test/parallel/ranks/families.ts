// One rank of the table of families: each one's tiny model of test/models/families, three steps under every kind of division that
// it has, against one process. Losses, norms, gradients, parameters, evaluation, generated tokens, all in float64; beside.ts
// derives the tolerance.
import assert from "node:assert/strict";

import { parseModelConfig, type ModelConfig } from "../../../src/models/index.ts";
import type { Degrees, ScheduleName } from "../../../src/parallel/index.ts";
import { scope } from "../../../src/torch/index.ts";
import type { StepOptions } from "../../../src/train/index.ts";
import { check, joinWorld, leave } from "../../comm/rank.ts";
import { names, readFixture } from "../../models/families/fixture.ts";
import { assertTrainsAsOne, type Division, makePart, openDivision } from "./division.ts";

interface Case {
  readonly degrees: Partial<Degrees>;
  readonly step: StepOptions;
  readonly schedule?: ScheduleName;
  readonly division: Division;
  /** Why a model can't be divided so: what the error says. */
  readonly refused?: (config: ModelConfig) => RegExp | undefined;
}

await joinWorld({ timeoutSeconds: 600 });
const selective: StepOptions = { checkpointing: "selective", selective: "op" };
const cases: Case[] = [];
for (const one of [
  { degrees: { shard: 2 }, step: { checkpointing: "full" } },
  { degrees: { tensor: 2 }, step: selective },
  // Backward is split: gradients of inputs, then of weights.
  { degrees: { pipeline: 2 }, step: { checkpointing: "none" }, schedule: "ZBVZeroBubble" },
  {
    degrees: { context: 2 },
    step: selective,
    refused: (config: ModelConfig) =>
      config.attentionSoftCap !== undefined || config.hasSinks === true
        ? /context_parallel_degree: .* soft-capped scores/
        : config.ropes.some(({ scaling }) => scaling?.kind === "longrope")
          ? /context_parallel_degree: .* \(longrope\) differs between documents/
          : undefined,
  },
  {
    degrees: { shard: 2, expert: 2 },
    step: { checkpointing: "none" },
  },
] satisfies Omit<Case, "division">[])
  cases.push({ ...one, division: await openDivision(one.degrees) });

async function run(config: ModelConfig, { division, step, schedule }: Case): Promise<void> {
  using _ = scope();
  const part = await makePart(config, step, division, { schedule });
  const { ranks } = division;
  // Two packs a step, of all ranks together.
  const accumulation = 2 / ranks.data.worldSize;
  assertTrainsAsOne(config, part, ranks, { accumulation, packed: true, byRows: false, steps: 3 });
}

// By hand, some of them: `node test/parallel/families.test.ts gemma2`.
const meant = process.argv.slice(2);
for (const name of names.filter((one) => meant.length === 0 || meant.includes(one))) {
  const config = parseModelConfig(readFixture(name).config, name);
  // Of the same layers as others.
  if (config.tower !== undefined) continue;
  for (const one of cases) {
    if (one.degrees.expert !== undefined && (config.moe === undefined || config.moe.stacked !== undefined))
      continue;
    const refused = one.refused?.(config);
    await check(`${name}, ${one.division.title}`, async () =>
      refused === undefined ? run(config, one) : assert.rejects(run(config, one), refused),
    );
  }
}
leave();
