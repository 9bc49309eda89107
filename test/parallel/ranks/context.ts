// One rank of the context-parallel table: five steps with every row cut among the ranks of a cp group, alone and with the
// other divisions, against one process that computes whole rows by itself. Losses, norms, gradients, parameters, evaluation,
// generated tokens. Everything is float64; beside.ts derives the tolerance. Rows have other lengths than a multiple of 2 x cp,
// documents end within chunks and reach over several, and one model sees a window of seven tokens.
import assert from "node:assert/strict";

import { allReduce } from "../../../src/comm/index.ts";
import {
  blockCosts,
  blockSpecs,
  Decoder,
  generate,
  parseModelConfig,
  type ModelConfig,
} from "../../../src/models/index.ts";
import {
  ContextRegion,
  type DataGroups,
  type Degrees,
  Fsdp,
  ParallelDims,
  Pipeline,
  type PipelinePlace,
  placePipeline,
  Ranks,
  type RotateMethod,
  type ScheduleName,
  Single,
  type Strategy,
  tensorBlocks,
  TensorParallel,
  TensorRegion,
} from "../../../src/parallel/index.ts";
import { float64, fromArray, int64, manualSeed, noGrad, scope } from "../../../src/torch/index.ts";
import type { PackedBatch, StepOptions } from "../../../src/train/index.ts";
import type { Update } from "../../../src/train/update.ts";
import { createContextParallelContext } from "../../../src/train/utils/index.ts";
import { check, joinWorld, leave, rank, size } from "../../comm/rank.ts";
import { vocabulary } from "../tiny.ts";
import { assertClose, makeLearner, tolerance, trainBeside } from "./beside.ts";

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
  "a window of 7 tokens, untied": parseModelConfig(
    { ...sizes, model_type: "mistral", sliding_window: 7, tie_word_embeddings: false },
    "test",
  ),
};

interface Case {
  model: ModelConfig;
  method: RotateMethod;
  schedule: ScheduleName;
  accumulation: number;
  packed: boolean;
  step: StepOptions;
}
interface Place {
  dims: ParallelDims;
  groups: DataGroups;
  ranks: Ranks;
}

const world = await joinWorld({ timeoutSeconds: 300 });
const ones: Degrees = {
  pipeline: 1,
  replicate: 1,
  shard: 1,
  context: 1,
  tensor: 1,
  expert: 1,
  expertTensor: 1,
};

function strategyOf(model: ModelConfig, groups: DataGroups, stages: PipelinePlace | undefined): Strategy {
  const { shard, replicate, tensor } = groups;
  const specs = stages?.specs ?? blockSpecs(model);
  const blocks = tensor === undefined ? specs : tensorBlocks(specs, tensor.size);
  // The ranks of a cp group are always among those of the shards.
  const inner = new Fsdp(blocks, shard, { dtype: float64, device: "cpu", replicate });
  if (stages !== undefined) return new Pipeline(stages, inner);
  if (tensor === undefined) return inner;
  const region = new TensorRegion(tensor);
  return new TensorParallel(inner, { region, blocks, group: tensor, model: groups.model! });
}

/** One token without a label: what a rank evaluates that has no rows left. */
const nothing: PackedBatch = {
  seqLen: 1,
  tokens: Int32Array.of(0),
  labels: Int32Array.of(-100),
  positions: Int32Array.of(0),
  documentLengths: [[1]],
  rows: [[0]],
  trainedTokens: 0,
};

async function run(one: Case, { dims, groups, ranks }: Place): Promise<void> {
  const { model: config, step, accumulation, packed } = one;
  const stages =
    dims.degrees.pipeline === 1
      ? undefined
      : await placePipeline(one.schedule, groups.mesh!, blockSpecs(config), blockCosts(config, 64));
  using s = scope();
  void s;
  const strategy = strategyOf(config, groups, stages);
  const context = new ContextRegion(groups.context!, one.method);
  const mine = makeLearner({ config, strategy, ranks, step, context, blocks: stages?.blocks });
  const single = new Single(blockSpecs(config), { dtype: float64, device: "cpu" });
  const reference = makeLearner({ config, strategy: single, ranks: Ranks.one, step });
  const lossOf = (update: Update, batches: readonly PackedBatch[]): number =>
    batches.reduce((sum, batch) => sum + update.lossOf(batch), 0);
  const afterStep = (own: readonly PackedBatch[], all: readonly PackedBatch[]): void => {
    const [loss] = ranks.sum([lossOf(mine.update, [...own, nothing])]) as [number];
    const whole = lossOf(reference.update, all);
    assert.ok(Math.abs(loss - whole) <= tolerance * whole, `evaluation: ${loss} and ${whole}`);
  };
  trainBeside({ mine, strategy, ranks, reference, accumulation, packed, afterStep });
  if (stages !== undefined) return;
  // Every rank generates whole answers by itself.
  const prompts = [[3, 7, 5], [11], [2, 4, 6, 8, 10]];
  strategy.gatherAll();
  const answers = generate(mine.model, prompts, { maxNewTokens: 6 });
  strategy.release();
  assert.deepEqual(answers, generate(reference.model, prompts, { maxNewTokens: 6 }));
}

const modes: Record<string, StepOptions> = {
  none: { checkpointing: "none" },
  full: { checkpointing: "full" },
  "selective op": { checkpointing: "selective", selective: "op" },
  "every second layer": { checkpointing: "selective", selective: 2, logitsChunk: 7 * sizes.vocab_size },
};
const grids = (
  [
    { context: 2 },
    { context: 4 },
    ...["shard", "replicate", "tensor", "pipeline"].map((axis) => ({ context: 2, [axis]: 2 })),
  ] as Partial<Degrees>[]
)
  .map((degrees) => ({ ...ones, ...degrees }))
  .filter(
    ({ context, shard, replicate, tensor, pipeline }) =>
      context * shard * replicate * tensor * pipeline === size,
  );

/** On two ranks every combination; on four the ring and the gather once each. */
const combinations = Object.entries(modes).flatMap(([mode, step]) =>
  Object.entries(models).flatMap(([name, model]) =>
    (["allgather", "alltoall"] as const).map((method) => ({ mode, step, name, model, method })),
  ),
);
const few = combinations.filter(
  ({ mode, name, method }) =>
    (mode === "none" && method === "allgather" && name.startsWith("biases")) ||
    (mode === "full" && method === "alltoall" && name.includes("window")),
);

for (const degrees of grids) {
  const dims = new ParallelDims(degrees, size);
  const groups = await dims.groups("cpu");
  const ranks = Ranks.ofWorld(groups.loss, dims.dataPart(world.globalRank));
  assert.deepEqual(ranks.sumOverData([1]), [degrees.replicate * degrees.shard]);
  const title = Object.entries(degrees)
    .filter(([, degree]) => degree > 1)
    .map(([axis, degree]) => `${axis} ${degree}`)
    .join(" x ");
  for (const { mode, step, name, model, method } of size === 2 ? combinations : few) {
    const accumulation = mode === "full" ? 1 : 3;
    const packed = mode !== "selective op";
    // The second passes the ring once for both gradients, of inputs and of weights.
    const schedule = method === "allgather" ? "1F1B" : "ZBVZeroBubble";
    await check(
      `${title}, ${method}, ${name}, checkpointing ${mode}, ${accumulation} micro-batches, ${packed ? "packed" : "one document each"}`,
      () => run({ model, method, schedule, accumulation, packed, step }, { dims, groups, ranks }),
    );
  }
}

/** Hidden states and loss of packed sequences by createContextParallelContext, against those of whole ones. */
async function byHand(rotateMethod: RotateMethod): Promise<void> {
  using s = scope();
  void s;
  const config = models["biases on q, k and v, tied"]!;
  manualSeed(3);
  const model = new Decoder(config, { dtype: float64 });
  model.initialize(0.2);
  const documents = [[5, 11], [16]];
  const numbers = (factor: number) => Array.from({ length: 32 }, (_, i) => (i * factor) % vocabulary);
  const inputs = fromArray(numbers(31), { dtype: int64 }).reshape([2, 16]);
  const labels = fromArray(numbers(7), { dtype: int64 }).reshape([2, 16]);
  using context = await createContextParallelContext(
    { context: size },
    inputs,
    labels,
    [model],
    rotateMethod,
    documents,
  );
  assert.ok(context);
  assert.deepEqual([context.degree, context.rank, context.rotateMethod], [size, rank, rotateMethod]);
  assert.deepEqual(context.inputs.shape, [2, 16 / size]);
  assert.deepEqual(context.gather(context.labels.to(float64)).tolist(), labels.tolist());
  const own = context.inputs.reshape([-1]);
  const hidden = noGrad(() => model.hidden(own, context.sequence));
  const lengths = documents.flat();
  const positions = fromArray(
    lengths.flatMap((length) => Array.from({ length }, (_, i) => i)),
    { dtype: int64 },
  );
  const whole = noGrad(() => model.hidden(inputs.reshape([-1]), { positions, lengths }));
  assertClose(context.gather(hidden.reshape([2, -1, 32])).reshape([32, 32]), whole, "hidden states");
  const loss = noGrad(() => model.head.loss(hidden, context.labels.reshape([-1]), 1));
  const all = noGrad(() => model.head.loss(whole, labels.reshape([-1]), 1));
  assertClose(allReduce(loss.clone()), all, "loss");
}
if (size === 2)
  for (const method of ["allgather", "alltoall"] as const)
    await check(`createContextParallelContext, ${method}`, () => byHand(method));
leave();
