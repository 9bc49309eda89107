// One rank of the table test: three steps of every strategy that fits the number of ranks, against one process that computes
// all ranks' micro-batches by itself. Losses, norms, every gradient and every parameter.
// Tolerance: see beside.ts.
import assert from "node:assert/strict";

import { blockSpecs } from "../../../src/models/index.ts";
import { sliceOf } from "../../../src/nn/index.ts";
import type { OptimizerOptions } from "../../../src/optim/index.ts";
import {
  type DataGroups,
  Fsdp,
  ParallelDims,
  Ranks,
  Replicate,
  Single,
  type Strategy,
} from "../../../src/parallel/index.ts";
import { bfloat16, type Dtype, float32, float64, scope } from "../../../src/torch/index.ts";
import type { StepOptions } from "../../../src/train/index.ts";
import { check, joinWorld, leave, rank, size } from "../../comm/rank.ts";
import { batchesOfStep, tinyConfig } from "../tiny.ts";
import { aloneOf, tensorOf } from "./alone.ts";
import { assertMatches, trainBeside } from "./beside.ts";
import { type Learner, lr, makeLearner, maxNorm } from "./learner.ts";

interface Case {
  replicate: number;
  shard: number;
  tied: boolean;
  accumulation: number;
  packed: boolean;
  reshard?: "default" | "always" | "never";
  offload?: boolean;
  reduceOnce?: boolean;
  inBackward?: boolean;
  step: StepOptions;
  implementation?: NonNullable<OptimizerOptions["implementation"]>;
}

const world = await joinWorld({ timeoutSeconds: 600 });

function make(strategy: Strategy, ranks: Ranks, one: Case, dtype: Dtype = float64): Learner {
  const { step, implementation = "fused", inBackward } = one;
  return makeLearner({
    config: tinyConfig(one.tied),
    strategy,
    ranks,
    step,
    dtype,
    implementation,
    inBackward,
  });
}

function run(one: Case, { groups, ranks }: { groups: DataGroups; ranks: Ranks }): void {
  using _ = scope();
  const specs = blockSpecs(tinyConfig(one.tied));
  const options = { dtype: float64, device: "cpu" };
  const strategy =
    groups.shard === undefined && !one.offload
      ? new Replicate(specs, groups.replicate!, options)
      : new Fsdp(specs, groups.shard, {
          ...options,
          replicate: groups.replicate,
          reshardAfterForward: one.reshard ?? "default",
          offload: one.offload ?? false,
          reduceOnce: one.reduceOnce ?? false,
        });
  const mine = make(strategy, ranks, one);
  const { tied, accumulation, packed, inBackward } = one;
  const rows = { count: accumulation * ranks.data.worldSize, packed, byRows: false, byBlock: inBackward };
  const alone = aloneOf(tinyConfig(tied), rows).steps;
  trainBeside({ mine, strategy, ranks, alone, accumulation, packed, inBackward });
  // As generation has it.
  strategy.gatherAll();
  for (const [name, whole] of strategy.full)
    assertMatches(whole, tensorOf(alone.at(-1)!.parameters.get(name)!), `whole ${name}`);
  strategy.release();
  for (const [name, whole] of strategy.full)
    assert.equal(whole.storage.nbytes === 0, strategy instanceof Fsdp, `memory of ${name} after release`);
}

/**
 * Computing in bfloat16, adding up in `reduceDtype`: the same as one process within the 8 bits of bfloat16. The loss is a mean
 * of many; a gradient may be off by some of its last bits, here up to 2^-5 of the largest.
 */
function runMixed(
  { groups, ranks }: { groups: DataGroups; ranks: Ranks },
  reduceDtype: Dtype,
  offload = false,
): void {
  using _ = scope();
  const specs = blockSpecs(tinyConfig(true));
  const options = { dtype: float32, device: "cpu", reduceDtype };
  const strategy =
    groups.shard === undefined && !offload
      ? new Replicate(specs, groups.replicate!, options)
      : new Fsdp(specs, groups.shard, {
          ...options,
          replicate: groups.replicate,
          computeDtype: bfloat16,
          offload,
        });
  const one: Case = {
    replicate: 1,
    shard: 1,
    tied: true,
    accumulation: 2,
    packed: true,
    step: { checkpointing: "selective", computeDtype: bfloat16 },
  };
  const mine = make(strategy, ranks, one, float32);
  const reference = make(new Single(specs, options), Ranks.one, one, float32);
  const all = batchesOfStep(0, 2 * size, true);
  const own = all.filter((_, i) => i % size === ranks.data.rank);
  const trained = all.reduce((sum, batch) => sum + batch.trainedTokens, 0);
  const expected = reference.update.gradients(all, trained);
  const found = mine.update.gradients(own, trained);
  assert.ok(Math.abs(found.loss - expected.loss) < 2e-3 * expected.loss, `${found.loss} ${expected.loss}`);
  for (const [name, parameter] of mine.parameters) {
    const gradient = parameter.grad!;
    assert.equal(gradient.dtype, float32);
    if (gradient.numel() === 0) continue;
    const whole = reference.parameters.get(name)!.grad!;
    const most = whole.abs().max().item();
    const difference = gradient
      .sub(sliceOf(whole, strategy.slices.get(name)))
      .abs()
      .max()
      .item();
    assert.ok(difference <= 2 ** -5 * most, `${name}: differs by ${difference} of ${most}`);
  }
  mine.update.apply(found, { lr, maxNorm });
}

const modes: Record<string, StepOptions> = {
  none: { checkpointing: "none" },
  full: { checkpointing: "full" },
  "every second layer": { checkpointing: "selective", selective: 2 },
};
const degrees = (
  [
    [2, 1],
    [1, 2],
    [2, 2],
    [1, 4],
    [4, 1],
  ] as const
).filter(([replicate, shard]) => replicate * shard === size);

async function groupsOf(replicate: number, shard: number): Promise<{ groups: DataGroups; ranks: Ranks }> {
  const dims = new ParallelDims(
    { pipeline: 1, replicate, shard, context: 1, tensor: 1, expert: 1, expertTensor: 1 },
    size,
  );
  const made = await dims.groups("cpu");
  const all = Ranks.ofWorld(made.loss, dims.dataPart(world.globalRank));
  assert.deepEqual(all.data, { rank, worldSize: size });
  return { groups: made, ranks: all };
}

for (const [replicate, shard] of degrees) {
  const placement = await groupsOf(replicate, shard);
  const title = `replicate ${replicate} x shard ${shard}`;
  for (const [mode, step] of Object.entries(modes)) {
    for (const tied of [true, false]) {
      for (const [accumulation, packed] of [
        [1, false],
        [3, true],
      ] as const) {
        const one: Case = { replicate, shard, tied, accumulation, packed, step };
        await check(
          `${title}, checkpointing ${mode}, ${tied ? "tied" : "untied"}, ${accumulation} micro-batches, ${packed ? "packed" : "one document each"}`,
          () => run(one, placement),
        );
      }
    }
  }
  for (const reduceDtype of [float32, bfloat16])
    await check(`${title}, computing in bfloat16, adding up in ${reduceDtype.name}`, () =>
      runMixed(placement, reduceDtype),
    );
  // Main memory and the device are one here; what is offloaded is copied all the same.
  const offloaded = { replicate, shard, tied: true, packed: true, step: modes["none"]!, offload: true };
  for (const accumulation of [1, 3])
    await check(`${title}, offloaded, ${accumulation} micro-batches`, () =>
      run({ ...offloaded, accumulation }, placement),
    );
  await check(`${title}, offloaded, computing in bfloat16`, () => runMixed(placement, float32, true));
  for (const offload of [false, true])
    for (const tied of [true, false]) {
      const one = { replicate, shard, tied, packed: true, accumulation: 1, step: modes["none"]! };
      await check(
        `${title}, updated in backward${offload ? ", offloaded" : ""}, ${tied ? "tied" : "untied"}`,
        () => run({ ...one, offload, inBackward: true }, placement),
      );
    }
  if (shard > 1) {
    for (const tied of [true, false])
      await check(`${title}, reduced once, ${tied ? "tied" : "untied"}`, () =>
        run(
          { replicate, shard, tied, packed: true, accumulation: 3, reduceOnce: true, step: modes["full"]! },
          placement,
        ),
      );
    for (const reshard of ["always", "never"] as const) {
      const one: Case = {
        replicate,
        shard,
        tied: true,
        accumulation: 2,
        packed: true,
        reshard,
        step: modes["none"]!,
        implementation: "foreach",
      };
      await check(`${title}, reshard after forward ${reshard}`, () => run(one, placement));
    }
  }
}
leave();
