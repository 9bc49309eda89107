// The step on a tiny random model: splitting into micro-batches, packing and activation checkpointing must not change
// loss or gradients. Everything in float64, where sums in another order differ by about 1e-15 relative.
import assert from "node:assert/strict";
import test from "node:test";

import { makeBatch, type Batch, type Document } from "../../data/index.ts";
import { Decoder, parseModelConfig } from "../../models/index.ts";
import {
  bfloat16,
  float32,
  float64,
  manualSeed,
  memoryStats,
  scope,
  type Dtype,
  type Tensor,
} from "../../torch/index.ts";
import { toMicroBatch } from "./micro-batch.ts";
import { forwardBackward, forwardLoss, type StepOptions } from "./step.ts";
import { lossOfLogProbabilities } from "../../losses/index.ts";
import { assertClose } from "../../../test/assert-close.ts";

const config = parseModelConfig(
  {
    model_type: "llama",
    vocab_size: 97,
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 64,
    tie_word_embeddings: true,
  },
  "test",
);

function makeModel(dtype: Dtype = float64): Decoder {
  manualSeed(1);
  const model = new Decoder(config, { dtype });
  model.initialize(0.2);
  model.prepare(64);
  return model;
}

/** Documents of these lengths, packed into sequences of `seqLen`. */
function batchOf(sequences: readonly (readonly number[])[], seqLen: number, first = 0): Batch {
  let document = first;
  const documentOf = (length: number, row: number): Document => {
    const at = document++;
    const tokens = Int32Array.from({ length }, (_, t) => (at * 31 + t * 7) % 97);
    const lossMask = Uint8Array.from({ length }, (_, t) => Number(t > 0 && (t - 1) % 3 !== 0));
    return { row, columns: { tokens, lossMask } };
  };
  return makeBatch(
    sequences.map((lengths) => lengths.map(documentOf)),
    seqLen,
  );
}

/** Loss and all gradients, flat, after the batches together. */
function run(batches: readonly Batch[], options: StepOptions = {}): { loss: number; gradients: number[] } {
  using _ = scope();
  const model = makeModel();
  const trained = batches.reduce((sum, batch) => sum + batch.trainedTokens, 0);
  let loss = 0;
  for (const batch of batches)
    loss += forwardBackward(model, toMicroBatch(batch), 1 / trained, options).item();
  const gradients = [...model.parameters].flatMap(([name, parameter]) => {
    const gradient = parameter.grad;
    assert.ok(gradient, `${name} has a gradient`);
    return gradient.flatten().tolist() as number[];
  });
  return { loss, gradients };
}

function assertSameStep(found: ReturnType<typeof run>, expected: ReturnType<typeof run>): void {
  assertClose(found.loss, expected.loss, { atol: 1e-12 }, "loss");
  assertClose(found.gradients, expected.gradients, { rtol: 1e-11 }, "gradients");
}

const lengths = [9, 20, 5, 17, 12, 8, 24, 3];

test("gradients are the same for every split into micro-batches, packed and unpacked", () => {
  const expected = run([batchOf([lengths.slice(0, 4), lengths.slice(4)], 64)]);
  assert.ok(expected.loss > 3 && expected.gradients.some((one) => Math.abs(one) > 1e-3));
  const eight = lengths.map((length, i) => batchOf([[length]], 24, i));
  assertSameStep(run(eight), expected);
  for (const size of [2, 4, 8]) {
    const split = Array.from({ length: 8 / size }, (_, i) =>
      batchOf(
        lengths.slice(i * size, (i + 1) * size).map((length) => [length]),
        24,
        i * size,
      ),
    );
    assertSameStep(run(split), expected);
  }
});

test("activation checkpointing changes nothing but memory", () => {
  const batch = [batchOf([lengths.slice(0, 4), lengths.slice(4)], 64)];
  const expected = run(batch, { checkpointing: "none" });
  for (const options of [
    { checkpointing: "full" },
    { checkpointing: "selective", selective: "op" },
    { checkpointing: "selective", selective: 2 },
  ] as const) {
    assertSameStep(run(batch, options), expected);
  }
});

test("the loss alone is the step's loss, and a step leaves no tensors behind", () => {
  using _ = scope();
  const model = makeModel();
  const batch = batchOf([lengths.slice(0, 4)], 64);
  const whole = run([batch]);
  const loss = forwardLoss(model, toMicroBatch(batch)).item() / batch.trainedTokens;
  assert.ok(Math.abs(loss - whole.loss) < 1e-12);
  const step = (): void => {
    using _inner = scope();
    forwardBackward(model, toMicroBatch(batch), 1);
    for (const parameter of model.parameters.values()) parameter.grad = undefined;
  };
  step();
  const before = memoryStats();
  for (let i = 0; i < 20; i++) step();
  const after = memoryStats();
  assert.equal(after.liveTensors, before.liveTensors);
  assert.equal(after.currentBytes, before.currentBytes);
});

test("mixed precision: gradients near those of float32, in float32", () => {
  const single = makeModel(float32);
  const mixed = makeModel(float32);
  const batch = [batchOf([lengths.slice(0, 4), lengths.slice(4)], 64)];
  const trained = batch[0]!.trainedTokens;
  const parts = (model: Decoder, options: StepOptions): Map<string, Tensor> => {
    using s = scope();
    // Twice, as two micro-batches: the second gradient is added to the first.
    for (let i = 0; i < 2; i++) forwardBackward(model, toMicroBatch(batch[0]!), 1 / (2 * trained), options);
    return new Map([...model.parameters].map(([name, one]) => [name, s.keep(one.grad!)]));
  };
  const expected = parts(single, {});
  const found = parts(mixed, { computeDtype: bfloat16 });
  for (const [name, gradient] of found) {
    assert.equal(gradient.dtype, float32, name);
    assert.equal(mixed.parameters.get(name)!.dtype, float32, name);
    const difference = gradient.sub(expected.get(name)!).norm().item() / expected.get(name)!.norm().item();
    // Rounding to bfloat16 is off by at most 2^-9 of a value, less than half of that on average. From a weight to its
    // gradient values are rounded about 12 times a layer forward and 24 times backward, with the head about 120 times
    // in three layers: errors that fall out by chance add up to sqrt(120) x 2^-9 = 2 % of the gradient's norm. More than
    // twice that would be an error in one direction.
    assert.ok(difference < 0.045, `${name}: off by ${difference}`);
    // Not computed in float32 unawares: that would be off by 1e-6.
    assert.ok(difference > 1e-4, `${name}: off by ${difference}`);
  }
});

test("a loss of log-probabilities trains as cross-entropy does", () => {
  const batch = [batchOf([lengths.slice(0, 4), lengths.slice(4)], 64)];
  const loss = lossOfLogProbabilities((logProbabilities) => logProbabilities.neg().sum());
  const found = run(batch, { loss });
  const expected = run(batch);
  assert.deepEqual(found.gradients, expected.gradients);
  assert.ok(Math.abs(found.loss - expected.loss) < 1e-12);
});

test("frozen weights have no gradient, change nobody else's, and their casts are kept from step to step", () => {
  using _ = scope();
  const batch = toMicroBatch(batchOf([lengths.slice(0, 4)], 64));
  const gradientsOf = (model: Decoder): Map<string, number[]> => {
    using _step = scope();
    forwardBackward(model, batch, 1, { computeDtype: bfloat16 });
    const found = new Map<string, number[]>();
    for (const [name, one] of model.parameters) {
      if (one.grad !== undefined) found.set(name, one.grad.flatten().tolist() as number[]);
      one.grad = undefined;
    }
    return found;
  };
  const expected = gradientsOf(makeModel(float32));
  const model = makeModel(float32);
  const isFrozen = (name: string): boolean => /layers\.[01]\..*proj/.test(name);
  for (const [name, one] of model.parameters) one.requiresGrad_(!isFrozen(name));
  const found = gradientsOf(model);
  for (const [name, values] of expected) {
    if (isFrozen(name)) assert.equal(found.get(name), undefined, name);
    else assert.deepEqual(found.get(name), values, name);
  }
  const before = memoryStats();
  assert.deepEqual(gradientsOf(model), found);
  assert.equal(memoryStats().liveTensors, before.liveTensors);
  // The casts end with the model.
  const casts = [...model.parameters.keys()].filter(isFrozen).length;
  model.dispose();
  const tensors = model.parameters.size + casts + 2; // rotary tables
  assert.equal(memoryStats().liveTensors, before.liveTensors - tensors);
});
