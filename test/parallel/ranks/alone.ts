// What one process comes to that trains a whole model by itself, number by number: the table tests compare every division with
// it. It depends on the model and its batches alone, so that rank 0 computes it once for all ranks, divisions and modes.
import assert from "node:assert/strict";
import { deserialize, serialize } from "node:v8";

import { broadcast } from "../../../src/comm/index.ts";
import { blockSpecs, type Decoder, generate, type ModelConfig } from "../../../src/models/index.ts";
import { type BlockSpec, parametersOf } from "../../../src/nn/index.ts";
import { Ranks, Single } from "../../../src/parallel/index.ts";
import {
  float64,
  fromTypedArray,
  memoryStats,
  scope,
  type Tensor,
  uint8,
  zeros,
} from "../../../src/torch/index.ts";
import { sequencesOf } from "../../../src/train/engine/micro-batch.ts";
import { rank } from "../../comm/rank.ts";
import { batchesOfStep } from "../tiny.ts";
import { type Learner, lr, makeLearner, maxNorm, steps } from "./learner.ts";

/** A tensor that no scope ends. */
export interface Values {
  readonly numbers: Float64Array;
  readonly shape: readonly number[];
}

export interface AloneStep {
  readonly loss: number;
  readonly norm: number;
  /** Without those of frozen parameters. */
  readonly gradients: ReadonlyMap<string, Values>;
  /** After the step. */
  readonly parameters: ReadonlyMap<string, Values>;
  /** The sum of the token losses of the step's batches, with them. */
  readonly evaluation: number;
}

export interface Alone {
  readonly steps: readonly AloneStep[];
  /** To `prompts`, after the last step. */
  readonly answers: readonly number[][];
}

/** The batches of a step over all ranks. */
export interface StepRows {
  readonly count: number;
  readonly packed: boolean;
  /** Each row is computed by itself, as a pipeline does. */
  readonly byRows: boolean;
  /** Blocks are updated one by one, after backward. */
  readonly byBlock?: boolean | undefined;
  /** Default: learner.ts's. */
  readonly steps?: number | undefined;
}

const prompts = [[3, 7, 5], [11], [2, 4, 6, 8, 10]];
export const ask = (model: Decoder, temperature = 0): number[][] =>
  generate(model, prompts, { maxNewTokens: 6, temperature });

export const tensorOf = ({ numbers, shape }: Values): Tensor => fromTypedArray(numbers, shape);

/** What is trained of a model, and what is added to it. */
export type Tune = (blocks: readonly BlockSpec[]) => readonly BlockSpec[];

/** Blocks of a model, as it is trained. */
export const specsOf = (config: ModelConfig, tune: Tune = (blocks) => blocks): readonly BlockSpec[] =>
  tune(blockSpecs(config));

const known = new Map<string, Alone>();

/** Every rank calls it, in the same order. */
export function aloneOf(config: ModelConfig, rows: StepRows, tune?: Tune): Alone {
  const specs = specsOf(config, tune);
  const trained = [...parametersOf(specs).values()].map(({ name, storage, trainable }) => [
    name,
    trainable,
    storage?.name,
  ]);
  const key = JSON.stringify([config, rows, trained]);
  let alone = known.get(key);
  if (alone === undefined) {
    using _ = scope();
    const bytes = rank === 0 ? serialize(computeAlone(config, specs, rows)) : undefined;
    const length = fromTypedArray(Float64Array.of(bytes?.length ?? 0));
    broadcast(length, { src: 0 });
    const content = bytes === undefined ? zeros([length.item()], { dtype: uint8 }) : fromTypedArray(bytes);
    broadcast(content, { src: 0 });
    alone = deserialize(content.toTypedArray({ copy: true })) as Alone;
    known.set(key, alone);
  }
  return alone;
}

function computeAlone(config: ModelConfig, specs: readonly BlockSpec[], rows: StepRows): Alone {
  const strategy = new Single(specs, { dtype: float64, device: "cpu" });
  const step = { checkpointing: "none" } as const;
  const learner = makeLearner({ config, strategy, ranks: Ranks.one, step, specs });
  return { steps: trainAlone(learner, rows), answers: ask(learner.model) };
}

/** Trains it, with clipping; from the second step on no tensor is left over. */
export function trainAlone(
  { parameters, update, applyByBlock }: Learner,
  { count, packed, byRows, byBlock = false, steps: length = steps }: StepRows,
): AloneStep[] {
  let live: number | undefined;
  return Array.from({ length }, (_, step) => {
    using temporaries = scope();
    const batches = batchesOfStep(step, count, packed);
    const trained = batches.reduce((sum, batch) => sum + batch.trainedTokens, 0);
    const found = update.gradients(
      byRows ? batches.flatMap((batch) => sequencesOf(batch)) : batches,
      trained,
    );
    const { loss, norm } = found;
    assert.ok(norm > maxNorm, `norm ${norm} is clipped`);
    const gradients = valuesOf([...parameters].map(([name, { grad }]) => [name, grad]));
    if (byBlock) applyByBlock();
    else update.apply(found, { lr, maxNorm });
    const evaluation = batches.reduce((sum, batch) => sum + update.lossOf(batch), 0);
    temporaries[Symbol.dispose]();
    const { liveTensors } = memoryStats();
    if (step === 1) live = liveTensors;
    if (step > 1) assert.equal(liveTensors, live, `tensors alive after step ${step}`);
    return { loss, norm, gradients, parameters: valuesOf([...parameters]), evaluation };
  });
}

function valuesOf(tensors: readonly (readonly [string, Tensor | undefined])[]): Map<string, Values> {
  using _ = scope();
  return new Map(
    tensors.flatMap(([name, tensor]) => {
      if (tensor === undefined) return [];
      const numbers = tensor.detach().to("cpu").to(float64).contiguous().toTypedArray({ copy: true });
      return [[name, { numbers: numbers as Float64Array, shape: [...tensor.shape] }] as const];
    }),
  );
}
