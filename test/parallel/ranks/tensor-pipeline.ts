// One rank of the table of tensor and pipeline parallelism together (2 x 2): five steps of every schedule over stages of
// divided layers, against one process. Losses, norms, every gradient, every parameter, evaluation. Rows of odd lengths are
// among them, so that stretches of the sequence are padded. Tolerance: see beside.ts.
import assert from "node:assert/strict";

import { blockCosts, blockSpecs, type ModelConfig, parseModelConfig } from "../../../src/models/index.ts";
import {
  ParallelDims,
  Pipeline,
  placePipeline,
  Ranks,
  type ScheduleName,
  Single,
  tensorBlocks,
  TensorParallel,
  TensorRegion,
} from "../../../src/parallel/index.ts";
import { float64, scope } from "../../../src/torch/index.ts";
import type { PackedBatch, StepOptions } from "../../../src/train/index.ts";
import type { Update } from "../../../src/train/update.ts";
import { check, joinWorld, leave, size } from "../../comm/rank.ts";
import { vocabulary } from "../tiny.ts";
import { makeLearner, tolerance, trainBeside } from "./beside.ts";

const sizes = {
  vocab_size: vocabulary + 1,
  hidden_size: 32,
  intermediate_size: 50,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
};
const models: Record<string, ModelConfig> = {
  "biases everywhere, untied": parseModelConfig(
    { ...sizes, model_type: "llama", attention_bias: true, mlp_bias: true, tie_word_embeddings: false },
    "test",
  ),
  "norms of q and k, tied": parseModelConfig(
    { ...sizes, model_type: "qwen3", head_dim: 16, tie_word_embeddings: true },
    "test",
  ),
};

const world = await joinWorld({ timeoutSeconds: 300 });
const dims = new ParallelDims(
  { pipeline: 2, replicate: 1, shard: 1, context: 1, tensor: 2, expert: 1, expertTensor: 1 },
  size,
);
const groups = await dims.groups("cpu");
const ranks = Ranks.ofWorld(groups.loss, dims.dataPart(world.globalRank));
assert.equal(ranks.data.worldSize, 1);

async function run(config: ModelConfig, schedule: ScheduleName, step: StepOptions): Promise<void> {
  const at = await placePipeline(schedule, groups.mesh!, blockSpecs(config), blockCosts(config, 64));
  using s = scope();
  void s;
  const options = { dtype: float64, device: "cpu" };
  const blocks = tensorBlocks(at.specs, 2);
  const region = new TensorRegion(groups.tensor!);
  const inner = new TensorParallel(new Single(blocks, options), {
    region,
    blocks,
    group: groups.tensor!,
    model: groups.model!,
  });
  const strategy = new Pipeline(at, inner);
  const mine = makeLearner({ config, strategy, ranks, step, blocks: at.blocks });
  const single = new Single(blockSpecs(config), options);
  const reference = makeLearner({ config, strategy: single, ranks: Ranks.one, step });
  const lossOf = (update: Update, batches: readonly PackedBatch[]): number =>
    batches.reduce((sum, batch) => sum + update.lossOf(batch), 0);
  const afterStep = (own: readonly PackedBatch[], all: readonly PackedBatch[]): void => {
    const [loss, whole] = [lossOf(mine.update, own), lossOf(reference.update, all)];
    assert.ok(Math.abs(loss - whole) <= tolerance * whole, `evaluation: ${loss} and ${whole}`);
  };
  const accumulation = step.checkpointing === "full" ? 3 : 2;
  const packed = step.checkpointing !== "full";
  trainBeside({ mine, strategy, ranks, reference, accumulation, packed, afterStep });
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
        await check(`tensor 2 x pipeline 2, ${schedule}, ${name}, checkpointing ${mode}`, () =>
          run(config, schedule, step),
        );
leave();
