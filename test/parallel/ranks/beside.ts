// What the table tests share: a model that several ranks train, step by step beside what one process comes to over the rows of
// all (alone.ts). Losses, norms, every gradient and every parameter must agree.
//
// Tolerance: everything is float64. A gradient is a sum of some hundred products, and the ranks' sums have another order:
// they differ by less than 1e3 x 2^-53 = 1e-13 of the largest one. AdamW divides by sqrt(v) + eps, so an error of a
// gradient comes out multiplied by at most lr / eps = 1e-2 / 1e-4 a step: 3e-11 after three. Hence 1e-10.
import assert from "node:assert/strict";

import { sliceOf } from "../../../src/nn/index.ts";
import type { Ranks, Strategy } from "../../../src/parallel/index.ts";
import { memoryStats, scope, type Tensor, uint8 } from "../../../src/torch/index.ts";
import type { Batch } from "../../../src/data/index.ts";
import { batchesOfStep } from "../tiny.ts";
import { assertClose } from "../../assert-close.ts";
import { type AloneStep, tensorOf, type Values } from "./alone.ts";
import { type Learner, lr, maxNorm } from "./learner.ts";

export const tolerance = 1e-10;

export function assertMatches(found: Tensor, expected: Tensor, what: string): void {
  assertClose(found, expected, { rtol: tolerance, floor: 1 }, what);
}

interface Beside {
  readonly mine: Learner;
  readonly strategy: Strategy;
  readonly ranks: Ranks;
  readonly alone: readonly AloneStep[];
  /** Micro-batches of a rank and a step. */
  readonly accumulation: number;
  readonly packed: boolean;
  /** It updates blocks during backward; the process that trains alone, which adds up the ranks' micro-batches, one by one after it. */
  readonly inBackward?: boolean | undefined;
  /** More to compare after each step: with this rank's batches. */
  readonly afterStep?: (own: readonly Batch[], alone: AloneStep) => void;
}

/** All steps, with clipping; from the second on no tensor is left over. */
export function trainBeside({ mine, strategy, ranks, alone, ...one }: Beside): void {
  const { worldSize, rank } = ranks.data;
  const mineOf = (whole: Values, name: string): Tensor => sliceOf(tensorOf(whole), strategy.slices.get(name));
  let live: number | undefined;
  for (const [step, expected] of alone.entries()) {
    using temporaries = scope();
    const all = batchesOfStep(step, one.accumulation * worldSize, one.packed);
    const own = all.filter((_, i) => i % worldSize === rank);
    const trained = all.reduce((sum, batch) => sum + batch.trainedTokens, 0);
    const numbers = { lr, maxNorm };
    const found = mine.update.gradients(own, trained, numbers);
    assert.ok(Math.abs(found.loss - expected.loss) <= tolerance, `loss ${found.loss} and ${expected.loss}`);
    assert.ok(Math.abs(found.norm - expected.norm) <= tolerance, `norm ${found.norm} and ${expected.norm}`);
    for (const [name, parameter] of mine.parameters) {
      const gradient = parameter.grad;
      const whole = expected.gradients.get(name);
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
    for (const [name, parameter] of mine.parameters) {
      // Some columns of quantized rows are no columns of their bytes; what they stand for shows in the losses.
      if (parameter.dtype === uint8 && strategy.slices.get(name)?.columns !== undefined) continue;
      assertMatches(parameter, mineOf(expected.parameters.get(name)!, name), `step ${step}, ${name}`);
    }
    one.afterStep?.(own, expected);
    temporaries[Symbol.dispose]();
    const { liveTensors } = memoryStats();
    if (step === 1) live = liveTensors;
    if (step > 1) assert.equal(liveTensors, live, `tensors alive after step ${step}`);
  }
}
