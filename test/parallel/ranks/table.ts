// One rank of the table test: five steps of every strategy that fits the number of ranks, against one process that computes
// all ranks' micro-batches by itself. Losses, norms, every gradient and every parameter.
//
// Tolerance: everything is float64. A gradient is a sum of some hundred products, and the ranks' sums have another order:
// they differ by less than 1e3 x 2^-53 = 1e-13 of the largest one. AdamW divides by sqrt(v) + eps, so an error of a
// gradient comes out multiplied by at most lr / eps = 1e-2 / 1e-4 a step: 5e-11 after five. Hence 1e-10.
import assert from "node:assert/strict";

import { blockSpecs, Decoder, initializeParameters, parameterShapes } from "../../../src/models/index.ts";
import { AdamW, type Implementation } from "../../../src/optim/index.ts";
import {
  type DataGroups,
  Fsdp,
  ParallelDims,
  Ranks,
  Replicate,
  Single,
  type Strategy,
} from "../../../src/parallel/index.ts";
import {
  bfloat16,
  type Dtype,
  float32,
  float64,
  manualSeed,
  memoryStats,
  scope,
  type Tensor,
} from "../../../src/torch/index.ts";
import type { StepOptions } from "../../../src/train/index.ts";
import { Update } from "../../../src/train/update.ts";
import { check, joinWorld, leave, rank, size } from "../../comm/rank.ts";
import { batchesOfStep, tinyConfig } from "../tiny.ts";

const tolerance = 1e-10;
const steps = 5;
const maxNorm = 0.5; // below every norm of the run, so that clipping acts

interface Case {
  replicate: number;
  shard: number;
  tied: boolean;
  accumulation: number;
  packed: boolean;
  reshard?: "default" | "always" | "never";
  step: StepOptions;
  implementation?: Implementation;
}

const world = await joinWorld({ timeoutSeconds: 600 });

function make(strategy: Strategy, ranks: Ranks, one: Case, dtype: Dtype = float64) {
  const config = tinyConfig(one.tied);
  manualSeed(7);
  const { full, parameters, rows } = strategy;
  const model = new Decoder(config, { dtype, parameters: full });
  initializeParameters(parameters, parameterShapes(config), { std: 0.2, rows });
  model.prepare(64);
  const { implementation = "fused" } = one;
  const optimizer = new AdamW(parameters, { lr: 1e-2, eps: 1e-4, weight_decay: 0.1, implementation });
  const update = new Update({ model, strategy, optimizer, ranks, options: one.step });
  return { parameters, update };
}

function assertClose(found: Tensor, expected: Tensor, what: string): void {
  using s = scope();
  void s;
  if (found.numel() === 0) return;
  const [difference, most] = [found.detach().sub(expected).abs().max().item(), expected.abs().max().item()];
  assert.ok(difference <= tolerance * Math.max(1, most), `${what}: differs by ${difference} of ${most}`);
}

function mineOf(whole: Tensor, strategy: Strategy, name: string): Tensor {
  const rows = strategy.rows.get(name);
  return rows === undefined ? whole.detach() : whole.detach().narrow(rows.dim, rows.start, rows.length);
}

function run(one: Case, { groups, ranks }: { groups: DataGroups; ranks: Ranks }): void {
  using s = scope();
  void s;
  const specs = blockSpecs(tinyConfig(one.tied));
  const options = { dtype: float64, device: "cpu" };
  const strategy =
    groups.shard === undefined
      ? new Replicate(specs, groups.replicate!, options)
      : new Fsdp(specs, groups.shard, {
          ...options,
          replicate: groups.replicate,
          reshardAfterForward: one.reshard ?? "default",
        });
  const mine = make(strategy, ranks, one);
  const single = new Single(specs, options);
  const reference = make(single, Ranks.one, one);
  let live: number | undefined;
  for (let step = 0; step < steps; step++) {
    using inner = scope();
    void inner;
    const all = batchesOfStep(step, one.accumulation * size, one.packed);
    const own = all.filter((_, i) => i % size === ranks.data.rank);
    const trained = all.reduce((sum, batch) => sum + batch.trainedTokens, 0);
    const expected = reference.update.gradients(all, trained);
    const found = mine.update.gradients(own, trained);
    assert.ok(Math.abs(found.loss - expected.loss) <= tolerance, `loss ${found.loss} and ${expected.loss}`);
    assert.ok(Math.abs(found.norm - expected.norm) <= tolerance, `norm ${found.norm} and ${expected.norm}`);
    assert.ok(expected.norm > maxNorm, `norm ${expected.norm} is clipped`);
    for (const [name, parameter] of mine.parameters) {
      const gradient = parameter.grad;
      assert.ok(gradient, `${name} has a gradient`);
      const whole = reference.parameters.get(name)!.grad!;
      assertClose(gradient, mineOf(whole, strategy, name), `step ${step}, gradient of ${name}`);
    }
    mine.update.apply(found, 1e-2, maxNorm);
    reference.update.apply(expected, 1e-2, maxNorm);
    for (const [name, parameter] of mine.parameters) {
      const whole = reference.parameters.get(name)!;
      assertClose(parameter, mineOf(whole, strategy, name), `step ${step}, ${name}`);
    }
    inner[Symbol.dispose]();
    const { liveTensors, currentBytes } = memoryStats();
    if (step === 1) live = liveTensors;
    if (step > 1) assert.equal(liveTensors, live, `tensors alive after step ${step} (${currentBytes} bytes)`);
  }
  // As generation has it.
  strategy.gatherAll();
  for (const [name, whole] of strategy.full)
    assertClose(whole, reference.parameters.get(name)!, `whole ${name}`);
  strategy.release();
  for (const [name, whole] of strategy.full)
    assert.equal(whole.storage.nbytes === 0, strategy instanceof Fsdp, `memory of ${name} after release`);
}

/**
 * Computing in bfloat16, adding up in `reduceDtype`: the same as one process within the 8 bits of bfloat16. The loss is a mean
 * of many; a gradient may be off by some of its last bits, here up to 2^-5 of the largest.
 */
function runMixed({ groups, ranks }: { groups: DataGroups; ranks: Ranks }, reduceDtype: Dtype): void {
  using s = scope();
  void s;
  const specs = blockSpecs(tinyConfig(true));
  const options = { dtype: float32, device: "cpu", reduceDtype };
  const strategy =
    groups.shard === undefined
      ? new Replicate(specs, groups.replicate!, options)
      : new Fsdp(specs, groups.shard, {
          ...options,
          replicate: groups.replicate,
          computeDtype: bfloat16,
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
      .sub(mineOf(whole, strategy, name))
      .abs()
      .max()
      .item();
    assert.ok(difference <= 2 ** -5 * most, `${name}: differs by ${difference} of ${most}`);
  }
  mine.update.apply(found, 1e-2, maxNorm);
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
  if (shard > 1) {
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
