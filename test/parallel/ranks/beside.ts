// What the table tests share: a model that several ranks train, step by step beside one that this process trains alone over
// the rows of all. Losses, norms, every gradient and every parameter must agree.
//
// Tolerance: everything is float64. A gradient is a sum of some hundred products, and the ranks' sums have another order:
// they differ by less than 1e3 x 2^-53 = 1e-13 of the largest one. AdamW divides by sqrt(v) + eps, so an error of a
// gradient comes out multiplied by at most lr / eps = 1e-2 / 1e-4 a step: 5e-11 after five. Hence 1e-10.
import assert from "node:assert/strict";

import {
  blockSpecs,
  Decoder,
  initializeParameters,
  type ModelConfig,
  parameterSpecs,
} from "../../../src/models/index.ts";
import { sliceOf } from "../../../src/nn/index.ts";
import { clipCoefficient, makeOptimizer, type OptimizerOptions } from "../../../src/optim/index.ts";
import type { ContextRegion, Ranks, Strategy } from "../../../src/parallel/index.ts";
import {
  type Dtype,
  float64,
  manualSeed,
  memoryStats,
  scope,
  type Tensor,
} from "../../../src/torch/index.ts";
import type { Batch } from "../../../src/data/index.ts";
import type { StepOptions } from "../../../src/train/index.ts";
import { sequencesOf } from "../../../src/train/engine/micro-batch.ts";
import { Update } from "../../../src/train/engine/update.ts";
import { batchesOfStep } from "../tiny.ts";
import { assertClose } from "../../assert-close.ts";

export const tolerance = 1e-10;
export const lr = 1e-2;
/** Below every norm of the runs, so that clipping acts. */
export const maxNorm = 0.5;
const steps = 5;

export interface Learner {
  readonly model: Decoder;
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly update: Update;
  /** Updates the parameters of one block after the other, each clipped by the norm of its own gradients, which are dropped. */
  readonly applyByBlock: () => void;
}

interface LearnerOptions {
  readonly config: ModelConfig;
  readonly strategy: Strategy;
  readonly ranks: Ranks;
  readonly step: StepOptions;
  readonly dtype?: Dtype;
  readonly device?: string;
  readonly implementation?: NonNullable<OptimizerOptions["implementation"]>;
  readonly blocks?: readonly number[] | undefined;
  readonly context?: ContextRegion | undefined;
  /** Blocks are updated during backward. */
  readonly inBackward?: boolean | undefined;
}

/** A model with the same weights wherever it is made. */
export function makeLearner({
  config,
  strategy,
  ranks,
  step,
  dtype = float64,
  device = "cpu",
  ...more
}: LearnerOptions): Learner {
  manualSeed(7);
  const { full, parameters, slices, region, exchange, relay } = strategy;
  const { blocks } = more;
  const model = new Decoder(config, { dtype, device, parameters: full, region, exchange, relay, blocks });
  initializeParameters(parameters, parameterSpecs(config), { std: 0.2, slices });
  model.prepare(64);
  const { implementation = "fused", context, inBackward } = more;
  const optimizer = makeOptimizer({ lr, eps: 1e-4, weightDecay: 0.1, implementation }, strategy.trained);
  const { trained } = strategy;
  const applyByBlock = (): void => {
    for (const block of blockSpecs(config)) {
      const names = [...block.parameters.keys()].filter((name) => trained.has(name));
      const gradients = new Map(names.map((name) => [name, trained.get(name)!.grad!] as const));
      const gradScale = clipCoefficient(strategy.gradNorm(names), maxNorm);
      optimizer.step(lr, { gradients, gradScale });
    }
    optimizer.zeroGrad();
  };
  return {
    model,
    parameters,
    applyByBlock,
    update: new Update({ model, strategy, optimizer, ranks, context, inBackward, options: step }),
  };
}

export function assertMatches(found: Tensor, expected: Tensor, what: string): void {
  assertClose(found, expected, { rtol: tolerance, floor: 1 }, what);
}

interface Beside {
  readonly mine: Learner;
  readonly strategy: Strategy;
  readonly ranks: Ranks;
  readonly reference: Learner;
  /** Micro-batches of a rank and a step. */
  readonly accumulation: number;
  readonly packed: boolean;
  /** The reference computes each row by itself, as a pipeline does. */
  readonly byRows?: boolean;
  /** It updates blocks during backward; the reference, which adds up the ranks' micro-batches, one by one after it. */
  readonly inBackward?: boolean | undefined;
  /** More to compare after each step: this rank's batches, and those of all. */
  readonly afterStep?: (own: readonly Batch[], all: readonly Batch[]) => void;
}

/** Five steps with clipping; from the second on no tensor is left over. */
export function trainBeside({ mine, strategy, ranks, reference, ...one }: Beside): void {
  const { worldSize, rank } = ranks.data;
  const mineOf = (whole: Tensor, name: string): Tensor => sliceOf(whole.detach(), strategy.slices.get(name));
  let live: number | undefined;
  for (let step = 0; step < steps; step++) {
    using temporaries = scope();
    const all = batchesOfStep(step, one.accumulation * worldSize, one.packed);
    const own = all.filter((_, i) => i % worldSize === rank);
    const trained = all.reduce((sum, batch) => sum + batch.trainedTokens, 0);
    const theirs = one.byRows === true ? all.flatMap((batch) => sequencesOf(batch)) : all;
    const numbers = { lr, maxNorm };
    const expected = reference.update.gradients(theirs, trained, numbers);
    const found = mine.update.gradients(own, trained, numbers);
    assert.ok(Math.abs(found.loss - expected.loss) <= tolerance, `loss ${found.loss} and ${expected.loss}`);
    assert.ok(Math.abs(found.norm - expected.norm) <= tolerance, `norm ${found.norm} and ${expected.norm}`);
    assert.ok(expected.norm > maxNorm, `norm ${expected.norm} is clipped`);
    for (const [name, parameter] of mine.parameters) {
      const gradient = parameter.grad;
      const whole = reference.parameters.get(name)!.grad;
      if (!strategy.trained.has(name)) {
        const found = [gradient, whole, strategy.full.get(name)!.grad];
        assert.deepEqual(found, [undefined, undefined, undefined], `${name} is frozen`);
        continue;
      }
      if (one.inBackward === true) {
        assert.equal(gradient, undefined, `${name} was updated`);
        continue;
      }
      assert.ok(gradient, `${name} has a gradient`);
      assertMatches(gradient, mineOf(whole!, name), `step ${step}, gradient of ${name}`);
    }
    mine.update.apply(found, numbers);
    if (one.inBackward === true) reference.applyByBlock();
    else reference.update.apply(expected, numbers);
    for (const [name, parameter] of mine.parameters)
      assertMatches(parameter, mineOf(reference.parameters.get(name)!, name), `step ${step}, ${name}`);
    one.afterStep?.(own, all);
    temporaries[Symbol.dispose]();
    const { liveTensors } = memoryStats();
    if (step === 1) live = liveTensors;
    if (step > 1) assert.equal(liveTensors, live, `tensors alive after step ${step}`);
  }
}
