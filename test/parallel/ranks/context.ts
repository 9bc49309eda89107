// One rank of the context-parallel table: three steps with every row cut among the ranks of a cp group, alone and with the
// other divisions, against one process that computes whole rows by itself. Losses, norms, gradients, parameters, evaluation,
// generated tokens. Everything is float64; beside.ts derives the tolerance. Rows have other lengths than a multiple of 2 x cp,
// documents end within chunks and reach over several, and one model sees a window of seven tokens.
import assert from "node:assert/strict";

import { allReduce } from "../../../src/comm/index.ts";
import { Decoder, type ModelConfig, parseModelConfig } from "../../../src/models/index.ts";
import type { Degrees, RotateMethod, ScheduleName } from "../../../src/parallel/index.ts";
import { float64, fromArray, int64, manualSeed, noGrad, scope } from "../../../src/torch/index.ts";
import type { StepOptions } from "../../../src/train/index.ts";
import { emptyBatch } from "../../../src/train/engine/micro-batch.ts";
import { createContextParallelContext } from "../../../src/train/utils/index.ts";
import { check, joinWorld, leave, rank, size } from "../../comm/rank.ts";
import { evenSizes, vocabulary } from "../tiny.ts";
import { assertMatches, trainBeside } from "./beside.ts";
import { aloneOf } from "./alone.ts";
import { assertSameAnswers, type Division, evaluates, makePart, openDivision } from "./division.ts";

const models: Record<string, ModelConfig> = {
  "biases on q, k and v, tied": parseModelConfig(
    { ...evenSizes, model_type: "qwen2", tie_word_embeddings: true },
    "test",
  ),
  "a window of 7 tokens, untied": parseModelConfig(
    { ...evenSizes, model_type: "mistral", sliding_window: 7, tie_word_embeddings: false },
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
await joinWorld({ timeoutSeconds: 300 });

async function run(one: Case, division: Division): Promise<void> {
  const { model, step, accumulation, packed, method } = one;
  const schedule = division.dims.degrees.pipeline === 1 ? undefined : one.schedule;
  using _ = scope();
  const part = await makePart(model, step, division, { method, schedule });
  const { ranks } = division;
  const alone = aloneOf(model, { count: accumulation * ranks.data.worldSize, packed, byRows: false });
  trainBeside({
    ...part,
    ranks,
    alone: alone.steps,
    accumulation,
    packed,
    afterStep: evaluates(part, ranks, [emptyBatch]),
  });
  // Every rank of a context group generates whole answers by itself.
  assertSameAnswers(part, alone.answers);
}

const modes: Record<string, StepOptions> = {
  none: { checkpointing: "none" },
  full: { checkpointing: "full" },
  "selective op": { checkpointing: "selective", selective: "op" },
  "every second layer": { checkpointing: "selective", selective: 2, logitsChunk: 7 * evenSizes.vocab_size },
};
const grids = (
  [
    { context: 2 },
    { context: 4 },
    ...["shard", "replicate", "tensor", "pipeline"].map((axis) => ({ context: 2, [axis]: 2 })),
  ] as Partial<Degrees>[]
).filter((degrees) => Object.values(degrees).reduce((a, b) => a * b, 1) === size);

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
  const division = await openDivision(degrees);
  const { replicate, shard } = division.dims.degrees;
  assert.deepEqual(division.ranks.sumOverData([1]), [replicate * shard]);
  for (const { mode, step, name, model, method } of size === 2 ? combinations : few) {
    const accumulation = mode === "full" ? 1 : 3;
    const packed = mode !== "selective op";
    // The second passes the ring once for both gradients, of inputs and of weights.
    const schedule = method === "allgather" ? "1F1B" : "ZBVZeroBubble";
    await check(
      `${division.title}, ${method}, ${name}, checkpointing ${mode}, ${accumulation} micro-batches, ${packed ? "packed" : "one document each"}`,
      () => run({ model, method, schedule, accumulation, packed, step }, division),
    );
  }
}

/** Hidden states and loss of packed sequences by createContextParallelContext, against those of whole ones. */
async function byHand(rotateMethod: RotateMethod): Promise<void> {
  using _ = scope();
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
  assertMatches(context.gather(hidden.reshape([2, -1, 32])).reshape([32, 32]), whole, "hidden states");
  const loss = noGrad(() => model.head.loss(hidden, context.labels.reshape([-1]), { scale: 1 }));
  const all = noGrad(() => model.head.loss(whole, labels.reshape([-1]), { scale: 1 }));
  assertMatches(allReduce(loss.clone()), all, "loss");
}
if (size === 2)
  for (const method of ["allgather", "alltoall"] as const)
    await check(`createContextParallelContext, ${method}`, () => byHand(method));
leave();
