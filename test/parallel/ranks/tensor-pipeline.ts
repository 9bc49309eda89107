// One rank of the table of tensor and pipeline parallelism together (2 x 2): three steps of every schedule over stages of
// divided layers, against one process. Losses, norms, every gradient, every parameter, evaluation. Rows of odd lengths are
// among them, so that shards of the sequence are padded. Tolerance: see beside.ts.
import assert from "node:assert/strict";

import { type ModelConfig, parseModelConfig } from "../../../src/models/index.ts";
import type { ScheduleName } from "../../../src/parallel/index.ts";
import { scope } from "../../../src/torch/index.ts";
import type { StepOptions } from "../../../src/train/index.ts";
import { check, joinWorld, leave } from "../../comm/rank.ts";
import { evenSizes } from "../tiny.ts";
import { assertTrainsAsOne, makePart, openDivision } from "./division.ts";

const models: Record<string, ModelConfig> = {
  "biases everywhere, untied": parseModelConfig(
    { ...evenSizes, model_type: "llama", attention_bias: true, mlp_bias: true, tie_word_embeddings: false },
    "test",
  ),
  "norms of q and k, tied": parseModelConfig(
    { ...evenSizes, model_type: "qwen3", head_dim: 16, tie_word_embeddings: true },
    "test",
  ),
};

await joinWorld({ timeoutSeconds: 300 });
const division = await openDivision({ tensor: 2, pipeline: 2 });
const { ranks } = division;
assert.equal(ranks.data.worldSize, 1);

async function run(config: ModelConfig, schedule: ScheduleName, step: StepOptions): Promise<void> {
  using _ = scope();
  const part = await makePart(config, step, division, { schedule });
  const accumulation = step.checkpointing === "full" ? 3 : 2;
  const packed = step.checkpointing !== "full";
  assertTrainsAsOne(config, part, ranks, { accumulation, packed, byRows: false });
}

const modes: Record<string, StepOptions> = {
  none: { checkpointing: "none" },
  full: { checkpointing: "full" },
  "every second layer": { checkpointing: "selective", selective: 2 },
};
const schedules: readonly ScheduleName[] = ["1F1B", "Interleaved1F1B", "GPipe", "ZBVZeroBubble"];
for (const [i, schedule] of schedules.entries())
  for (const [k, [name, config]] of Object.entries(models).entries())
    for (const [m, [mode, step]] of Object.entries(modes).entries())
      // Splitting backward is what meets the seams of divided layers; of the others every mode once.
      if (schedule === "ZBVZeroBubble" || (i + k) % 3 === m)
        await check(`${division.title}, ${schedule}, ${name}, checkpointing ${mode}`, () =>
          run(config, schedule, step),
        );
leave();
