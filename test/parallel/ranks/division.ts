// What the table tests of several divisions share: the ranks of a division, the strategy that divides a model so, and this
// process's part of it. Training it is beside.ts's; which cases there are is each table's.
import assert from "node:assert/strict";

import { worldGroup } from "../../../src/comm/index.ts";
import { blockCosts, type ModelConfig } from "../../../src/models/index.ts";
import type { BlockSpec } from "../../../src/nn/index.ts";
import {
  ContextRegion,
  type DataGroups,
  type Degrees,
  expertBlocks,
  expertOptions,
  Fsdp,
  ParallelDims,
  Pipeline,
  type PipelinePlace,
  placePipeline,
  Ranks,
  Replicate,
  type RotateMethod,
  type ScheduleName,
  Single,
  type Strategy,
  tensorBlocks,
  TensorParallel,
  TensorRegion,
} from "../../../src/parallel/index.ts";
import { float64 } from "../../../src/torch/index.ts";
import type { Batch } from "../../../src/data/index.ts";
import type { StepOptions } from "../../../src/train/index.ts";
import { aloneOf, type AloneStep, ask, specsOf, type StepRows, type Tune } from "./alone.ts";
import { tolerance, trainBeside } from "./beside.ts";
import { type Learner, makeLearner } from "./learner.ts";

export interface Division {
  readonly dims: ParallelDims;
  readonly groups: DataGroups;
  readonly ranks: Ranks;
  /** `tensor 2 x pipeline 2` */
  readonly title: string;
}

/** @param degrees those left out are 1; every rank calls it, in the same order */
export async function openDivision(degrees: Partial<Degrees>): Promise<Division> {
  const one = { pipeline: 1, replicate: 1, shard: 1, context: 1, tensor: 1, expert: 1, expertTensor: 1 };
  const world = worldGroup();
  const dims = new ParallelDims({ ...one, ...degrees }, world.size);
  const groups = await dims.groups("cpu");
  const title = Object.entries(degrees)
    .filter(([, degree]) => degree > 1)
    .map(([axis, degree]) => `${axis} ${degree}`)
    .join(" x ");
  return { dims, groups, ranks: Ranks.ofWorld(groups.loss, dims.dataPart(world.globalRank)), title };
}

export interface DivideOptions {
  readonly schedule?: ScheduleName | undefined;
  readonly reshard?: "default" | "always" | "never" | undefined;
  readonly lossParallel?: boolean;
  readonly method?: RotateMethod;
  readonly tune?: Tune | undefined;
}

const onCpu = { dtype: float64, device: "cpu" };

function strategyOf(
  specs: readonly BlockSpec[],
  { groups, dims }: Division,
  stages: PipelinePlace | undefined,
  { reshard = "default", lossParallel = true }: DivideOptions,
): Strategy {
  const { experts, tensor, shard, replicate } = groups;
  const { wholeExperts } = dims;
  const all = stages?.specs ?? specs;
  const own = experts ? expertBlocks(all, { rank: experts.experts.rank, ranks: experts.experts.size }) : all;
  const blocks = tensor ? tensorBlocks(own, tensor.size, wholeExperts) : own;
  let strategy: Strategy;
  if (shard || experts) {
    strategy = new Fsdp(blocks, shard, {
      ...onCpu,
      replicate,
      experts: experts && expertOptions(experts),
      reshardAfterForward: reshard,
      // As a run has it.
      reduceOnce: stages !== undefined,
    });
  } else strategy = replicate ? new Replicate(blocks, replicate, onCpu) : new Single(blocks, onCpu);
  if (tensor) {
    const region = new TensorRegion(tensor, { lossParallel, wholeExperts });
    strategy = new TensorParallel(strategy, { region, blocks, group: tensor, model: groups.model! });
  }
  return stages ? new Pipeline(stages, strategy) : strategy;
}

/** This process's part of a model. */
export interface Part {
  readonly strategy: Strategy;
  readonly stages: PipelinePlace | undefined;
  readonly mine: Learner;
}

/** Every rank calls it, in a scope. */
export async function makePart(
  config: ModelConfig,
  step: StepOptions,
  division: Division,
  options: DivideOptions = {},
): Promise<Part> {
  const { groups, ranks } = division;
  const { schedule, method = "alltoall", tune } = options;
  const specs = specsOf(config, tune);
  const stages = schedule && (await placePipeline(schedule, groups.mesh!, specs, blockCosts(config, 64)));
  const strategy = strategyOf(specs, division, stages, options);
  const context = groups.context && new ContextRegion(groups.context, method);
  return {
    strategy,
    stages,
    mine: makeLearner({ config, strategy, ranks, step, context, specs, blocks: stages?.blocks }),
  };
}

/**
 * For trainBeside: the loss of evaluation is that of one process.
 * @param more batches that every rank evaluates beside its own
 */
export function evaluates({ mine }: Part, ranks: Ranks, more: readonly Batch[] = []) {
  return (own: readonly Batch[], { evaluation }: AloneStep): void => {
    const ownLoss = [...own, ...more].reduce((sum, batch) => sum + mine.update.lossOf(batch), 0);
    const [loss] = ranks.sum([ownLoss]) as [number];
    assert.ok(Math.abs(loss - evaluation) <= tolerance * evaluation, `evaluation: ${loss} and ${evaluation}`);
  };
}

/** Generates what one process generates, which draws, too. Every rank calls it. */
export function assertSameAnswers({ strategy, mine }: Part, expected: readonly number[][]): void {
  strategy.gatherAll();
  const answers = ask(mine.model);
  // Unseeded: the ranks agree on what one of them draws, or they would wait for each other for ever.
  const drawn = ask(mine.model, 1);
  strategy.release();
  assert.deepEqual(answers, expected);
  assert.equal(drawn.flat().length, expected.length * 6);
}

/** Trains, evaluates and generates as one process does. Every rank calls it. */
export function assertTrainsAsOne(
  config: ModelConfig,
  part: Part,
  ranks: Ranks,
  { accumulation, packed, byRows, steps: length }: Omit<StepRows, "count"> & { accumulation: number },
): void {
  const rows = { count: accumulation * ranks.data.worldSize, packed, byRows, steps: length };
  const { steps, answers } = aloneOf(config, rows);
  trainBeside({ ...part, ranks, alone: steps, accumulation, packed, afterStep: evaluates(part, ranks) });
  assertSameAnswers(part, answers);
}
