// One rank of the tensor-parallel table: three steps with every matrix divided, alone and with data parallelism, against one
// process that computes all micro-batches by itself. Losses, norms, gradients, parameters, evaluation, generated tokens.
// Everything is float64; beside.ts derives the tolerance. Micro-batches of odd numbers of tokens are among them, so that
// the last shard of the sequence is padded.
import assert from "node:assert/strict";

import { type ModelConfig, parseModelConfig } from "../../../src/models/index.ts";
import { scope } from "../../../src/torch/index.ts";
import type { StepOptions } from "../../../src/train/index.ts";
import { check, joinWorld, leave, size } from "../../comm/rank.ts";
import { evenSizes } from "../tiny.ts";
import { assertTrainsAsOne, type Division, makePart, openDivision } from "./division.ts";

const tp = 2;

const models: Record<string, ModelConfig> = {
  "biases on q, k and v, tied": parseModelConfig(
    { ...evenSizes, model_type: "qwen2", tie_word_embeddings: true },
    "test",
  ),
  "norms of q and k, untied": parseModelConfig(
    { ...evenSizes, model_type: "qwen3", head_dim: 16, tie_word_embeddings: false },
    "test",
  ),
  "biases everywhere, untied": parseModelConfig(
    { ...evenSizes, model_type: "llama", attention_bias: true, mlp_bias: true, tie_word_embeddings: false },
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

await joinWorld({ timeoutSeconds: 600 });

async function run(one: Case, division: Division): Promise<void> {
  const { model, step, accumulation, packed, lossParallel } = one;
  using _ = scope();
  const part = await makePart(model, step, division, { lossParallel });
  const { ranks } = division;
  assertTrainsAsOne(model, part, ranks, { accumulation, packed, byRows: false });
}

const modes: Record<string, StepOptions> = {
  none: { checkpointing: "none" },
  full: { checkpointing: "full" },
  "selective op": { checkpointing: "selective", selective: "op" },
  "every second layer": { checkpointing: "selective", selective: 2, logitsChunk: 7 * evenSizes.vocab_size },
};
const degrees = (
  [
    [1, 1],
    [1, 2],
    [2, 1],
  ] as const
).filter(([replicate, shard]) => replicate * shard * tp === size);

for (const [replicate, shard] of degrees) {
  const division = await openDivision({ replicate, shard, tensor: tp });
  assert.equal(division.ranks.data.worldSize, replicate * shard);
  for (const [name, model] of Object.entries(models)) {
    for (const [mode, step] of Object.entries(modes)) {
      const accumulation = mode === "full" ? 1 : 3;
      const packed = mode !== "full";
      for (const lossParallel of mode === "none" ? [true, false] : [true]) {
        await check(
          `${division.title}, ${name}, checkpointing ${mode}, ${accumulation} micro-batches${lossParallel ? "" : ", gathered logits"}`,
          () => run({ model, accumulation, packed, lossParallel, step }, division),
        );
      }
    }
  }
}
leave();
