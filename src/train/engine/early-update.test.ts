// Updates during backward: the same weights as after it, bit for bit, gradients of one block at a time, clipping by block, and
// what is left of a step whose gradients aren't finite.
import assert from "node:assert/strict";
import test from "node:test";

import { makeBatch, type Batch } from "../../data/index.ts";
import {
  blockSpecs,
  Decoder,
  initializeParameters,
  parameterSpecs,
  parseModelConfig,
} from "../../models/index.ts";
import { makeOptimizer } from "../../optim/index.ts";
import { Ranks, Single } from "../../parallel/index.ts";
import { float32, manualSeed, memoryStats, resetPeakMemory, scope, type Tensor } from "../../torch/index.ts";
import { Update } from "./update.ts";

const sizes = {
  model_type: "llama",
  vocab_size: 97,
  hidden_size: 64,
  intermediate_size: 192,
  num_hidden_layers: 6,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
};

function make(inBackward: boolean, tied = true) {
  manualSeed(1);
  const config = parseModelConfig({ ...sizes, tie_word_embeddings: tied }, "test");
  const strategy = new Single(blockSpecs(config), { dtype: float32, device: "cpu" });
  const model = new Decoder(config, { dtype: float32, device: "cpu", parameters: strategy.full });
  initializeParameters(strategy.parameters, parameterSpecs(config), { std: 0.2 });
  model.prepare(64);
  const optimizer = makeOptimizer({ lr: 1e-3 }, strategy.trained);
  const options = { checkpointing: "full" } as const;
  return {
    strategy,
    update: new Update({ model, strategy, optimizer, ranks: Ranks.one, inBackward, options }),
  };
}

const batch: Batch = makeBatch(
  [
    [0, 1].map((row) => ({
      row,
      columns: {
        tokens: Int32Array.from({ length: 20 }, (_, t) => (t * 7 + row * 31) % 97),
        lossMask: new Uint8Array(20).fill(1),
      },
    })),
  ],
  64,
);

/** Some steps; the weights after them, and the most memory of one step over what was there before it. */
function run(inBackward: boolean, numbers: { lr: number; maxNorm: number }, tied = true) {
  const { strategy, update } = make(inBackward, tied);
  let peak = 0;
  let norm = 0;
  for (let step = 0; step < 4; step++) {
    resetPeakMemory();
    const before = memoryStats().currentBytes;
    const gradients = update.gradients([batch], batch.trainedTokens, numbers);
    if (inBackward)
      for (const [name, parameter] of strategy.trained) assert.equal(parameter.grad, undefined, name);
    update.apply(gradients, numbers);
    peak = memoryStats().peakBytes - before;
    norm = gradients.norm;
  }
  return { weights: strategy.parameters, peak, norm };
}

for (const tied of [true, false]) {
  void test(`${tied ? "tied" : "untied"}: without clipping the same weights and norms, bit for bit`, () => {
    using _ = scope();
    const numbers = { lr: 1e-3, maxNorm: Infinity };
    const [after, during] = [run(false, numbers, tied), run(true, numbers, tied)];
    for (const [name, weight] of after.weights) assert.ok(weight.equal(during.weights.get(name)!), name);
    assert.ok(Math.abs(during.norm / after.norm - 1) < 1e-12, `${during.norm}, ${after.norm}`);
  });
}

void test("gradients of one block at a time take memory", () => {
  using _ = scope();
  const numbers = { lr: 1e-3, maxNorm: Infinity };
  const [after, during] = [run(false, numbers), run(true, numbers)];
  const bytes = [...after.weights.values()].reduce((sum, { nbytes }) => sum + nbytes, 0);
  // Layers are nearly all of the model: of six gradients one is left, and the tied embedding's.
  assert.ok(after.peak - during.peak > 0.6 * bytes, `${after.peak} and ${during.peak} of ${bytes} bytes`);
});

void test("each block's gradients are clipped by their own norm", () => {
  using _ = scope();
  const maxNorm = 1e-3;
  const { strategy, update } = make(true);
  const reference = make(false);
  reference.update.gradients([batch], batch.trainedTokens);
  const specs = blockSpecs(parseModelConfig({ ...sizes, tie_word_embeddings: true }, "test"));
  const optimizer = makeOptimizer({ lr: 1e-3 }, reference.strategy.trained);
  for (const { parameters } of specs) {
    const names = [...parameters.keys()];
    const gradients = new Map<string, Tensor>(
      names.map((name) => [name, reference.strategy.trained.get(name)!.grad!] as const),
    );
    const norm = reference.strategy.gradNorm(names);
    assert.ok(norm > maxNorm || names.length === 0, `${names[0]}: ${norm}`);
    optimizer.step(1e-3, { gradients, gradScale: maxNorm / (norm + 1e-6) });
  }
  update.gradients([batch], batch.trainedTokens, { lr: 1e-3, maxNorm });
  for (const [name, weight] of reference.strategy.parameters)
    assert.ok(weight.equal(strategy.parameters.get(name)!), name);
});

void test("from the first gradient on that isn't finite nothing is updated", () => {
  using _ = scope();
  const { strategy, update } = make(true, false);
  const before = new Map([...strategy.parameters].map(([name, weight]) => [name, weight.detach().clone()]));
  const gradNorm = strategy.gradNorm.bind(strategy);
  let calls = 0;
  // Head, layer 5, layer 4: the third block's gradients are too large.
  strategy.gradNorm = (names) => (++calls === 3 ? Infinity : gradNorm(names));
  const { norm, updated } = update.gradients([batch], batch.trainedTokens, { lr: 1e-3, maxNorm: 1 });
  assert.deepEqual([norm, updated], [Infinity, 2]);
  for (const [name, weight] of strategy.parameters) {
    const isChanged = /^(lm_head|model\.norm|model\.layers\.5)\./.test(name);
    assert.equal(weight.equal(before.get(name)!), !isChanged, name);
    assert.equal(weight.grad, undefined, name);
  }
});
