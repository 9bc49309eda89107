// One rank of the tensor-parallel table: five steps with every matrix divided, alone and with data parallelism, against one
// process that computes all micro-batches by itself. Losses, norms, gradients, parameters, evaluation, generated tokens.
// Everything is float64; beside.ts derives the tolerance. Micro-batches of odd numbers of tokens are among them, so that
// the last stretch of the sequence is padded.
import assert from "node:assert/strict";

import {
  blockSpecs,
  type Decoder,
  generate,
  type ModelConfig,
  parseModelConfig,
} from "../../../src/models/index.ts";
import {
  type DataGroups,
  Fsdp,
  ParallelDims,
  Ranks,
  Replicate,
  Single,
  type Strategy,
  tensorBlocks,
  TensorParallel,
  TensorRegion,
} from "../../../src/parallel/index.ts";
import { float64, scope } from "../../../src/torch/index.ts";
import type { StepOptions } from "../../../src/train/index.ts";
import { toMicroBatch } from "../../../src/train/micro-batch.ts";
import { forwardLoss } from "../../../src/train/step.ts";
import { check, joinWorld, leave, size } from "../../comm/rank.ts";
import { batchesOfStep, vocabulary } from "../tiny.ts";
import { makeLearner, tolerance, trainBeside } from "./beside.ts";

const tp = 2;

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
  "biases on q, k and v, tied": parseModelConfig(
    { ...sizes, model_type: "qwen2", tie_word_embeddings: true },
    "test",
  ),
  "norms of q and k, untied": parseModelConfig(
    { ...sizes, model_type: "qwen3", head_dim: 16, tie_word_embeddings: false },
    "test",
  ),
  "biases everywhere, untied": parseModelConfig(
    { ...sizes, model_type: "llama", attention_bias: true, mlp_bias: true, tie_word_embeddings: false },
    "test",
  ),
};

interface Case {
  model: ModelConfig;
  accumulation: number;
  packed: boolean;
  lossParallel: boolean;
  step: StepOptions;
}

const world = await joinWorld({ timeoutSeconds: 600 });

function strategyOf({ model, lossParallel }: Case, groups: DataGroups): Strategy {
  const blocks = tensorBlocks(blockSpecs(model), tp);
  const options = { dtype: float64, device: "cpu" };
  const { shard, replicate } = groups;
  const inner =
    shard !== undefined
      ? new Fsdp(blocks, shard, { ...options, replicate })
      : replicate !== undefined
        ? new Replicate(blocks, replicate, options)
        : new Single(blocks, options);
  const region = new TensorRegion(groups.tensor!, { lossParallel });
  return new TensorParallel(inner, { region, blocks, group: groups.tensor!, model: groups.model! });
}

function run(one: Case, { groups, ranks }: { groups: DataGroups; ranks: Ranks }): void {
  using s = scope();
  void s;
  const strategy = strategyOf(one, groups);
  const { model: config, step, accumulation, packed } = one;
  const mine = makeLearner({ config, strategy, ranks, step });
  const single = new Single(blockSpecs(config), { dtype: float64, device: "cpu" });
  const reference = makeLearner({ config, strategy: single, ranks: Ranks.one, step });
  trainBeside({ mine, strategy, ranks, reference, accumulation, packed });
  // Evaluation and generation of what was trained.
  const [batch] = batchesOfStep(99, 1, one.packed) as [ReturnType<typeof batchesOfStep>[number]];
  const [loss, expectedLoss] = [
    forwardLoss(mine.model, toMicroBatch(batch), strategy).item(),
    forwardLoss(reference.model, toMicroBatch(batch)).item(),
  ];
  assert.ok(
    Math.abs(loss - expectedLoss) <= tolerance * expectedLoss,
    `evaluation: ${loss} and ${expectedLoss}`,
  );
  const prompts = [[3, 7, 5], [11], [2, 4, 6, 8, 10]];
  const ask = (model: Decoder): number[][] => generate(model, prompts, { maxNewTokens: 6 });
  strategy.gatherAll();
  const answers = ask(mine.model);
  // Unseeded: the ranks agree on what one of them draws, or they would wait for each other for ever.
  const drawn = generate(mine.model, prompts, { maxNewTokens: 6, temperature: 1 });
  strategy.release();
  assert.deepEqual(answers, ask(reference.model));
  assert.equal(drawn.flat().length, prompts.length * 6);
}

const modes: Record<string, StepOptions> = {
  none: { checkpointing: "none" },
  full: { checkpointing: "full" },
  "selective op": { checkpointing: "selective", selective: "op" },
  "every second layer": { checkpointing: "selective", selective: 2, logitsChunk: 7 * sizes.vocab_size },
};
const degrees = (
  [
    [1, 1],
    [1, 2],
    [2, 1],
  ] as const
).filter(([replicate, shard]) => replicate * shard * tp === size);

for (const [replicate, shard] of degrees) {
  const dims = new ParallelDims(
    { pipeline: 1, replicate, shard, context: 1, tensor: tp, expert: 1, expertTensor: 1 },
    size,
  );
  const groups = await dims.groups("cpu");
  const ranks = Ranks.ofWorld(groups.loss, dims.dataPart(world.globalRank));
  assert.equal(ranks.data.worldSize, replicate * shard);
  for (const [name, model] of Object.entries(models)) {
    for (const [mode, step] of Object.entries(modes)) {
      const accumulation = mode === "full" ? 1 : 3;
      const packed = mode !== "full";
      for (const lossParallel of mode === "none" ? [true, false] : [true]) {
        await check(
          `replicate ${replicate} x shard ${shard} x tensor ${tp}, ${name}, checkpointing ${mode}, ${accumulation} micro-batches${lossParallel ? "" : ", gathered logits"}`,
          () => run({ model, accumulation, packed, lossParallel, step }, { groups, ranks }),
        );
      }
    }
  }
}
leave();
