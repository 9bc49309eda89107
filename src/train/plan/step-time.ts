// How long a step will take on a GPU: a roofline. Products and attention at the card's rates, what norms, activations, casts and the
// optimizer move at its memory's, and the collectives of a simulated step at the links' rates; those that nothing hides, and
// what of the others is longer than the computing. It knows no kernel's launch and no rank that is slower than the others:
// a lower bound that large models come near, and small ones don't.
import type { RunSpec } from "../../config/index.ts";
import { blockCosts, flopsPerToken, type ModelConfig } from "../../models/index.ts";
import { checkpointingOf, isRecomputed } from "../engine/checkpointing.ts";
import { reached, type Card, type Links } from "./cards.ts";
import { trainedNumbers } from "./forecast.ts";
import type { SimulatedRank } from "./simulate.ts";

export interface StepTime {
  /** All in seconds. Products and attention, of the stage that has most. */
  readonly computing: number;
  /** Norms, activations, casts, and the optimizer: what memory takes. */
  readonly moving: number;
  /** All collectives, and what of them nothing hides. */
  readonly communicating: number;
  readonly exposed: number;
  /** Idle in a pipeline. */
  readonly idle: number;
  readonly step: number;
  /** Positions of all ranks. */
  readonly tokensPerSecond: number;
  /** Share of the card's peak that the model's own operations are, without what is computed again. */
  readonly utilization: number;
}

interface Given {
  readonly spec: RunSpec;
  readonly model: ModelConfig;
  readonly ranks: readonly SimulatedRank[];
  /** Share of a step in which a process of the pipeline is idle. */
  readonly bubble: number;
  readonly card: Card;
  readonly links: Links;
}

/** The forecast for the rank that takes longest. */
export function stepTime({ spec, model, ranks, bubble, card, links }: Given): StepTime {
  const { tensor, context, pipeline } = spec.degrees;
  const positions = (spec.localBatchSize * spec.accumulationSteps * spec.seqLen) / context;
  const peak = (spec.computeDtype === "float32" ? card.float32 : card.bfloat16) * 1e12;
  const share = 1 / tensor / pipeline;
  const { products, attention } = operationsOf(spec, model);
  const computing =
    positions * share * (products / reached.products + attention / reached.attention) * (1 / peak);
  const memory = card.memory * 1e9 * reached.memory;
  const moving = ranks
    .map(
      ({ stage }) =>
        (positions * share * elementBytes(spec, model) + updateBytes(spec, model, stage)) / memory,
    )
    .reduce((most, one) => Math.max(most, one));
  const busy = computing + moving;
  const slowest = ranks
    .map(({ traffic }) => {
      const own = traffic.filter(({ kind }) => kind !== "send");
      const seconds = (bytesOf: (one: (typeof own)[number]) => number): number =>
        own.reduce(
          (sum, one) => sum + bytesOf(one) / ((one.isWithin ? links.within : links.between) * 1e9),
          0,
        );
      const all = seconds(({ sentBytes }) => sentBytes);
      const waited = seconds(({ waitedBytes }) => waitedBytes);
      return { all, exposed: waited + Math.max(0, all - waited - busy) };
    })
    .reduce((most, one) => (one.exposed > most.exposed ? one : most));
  // What a pass waits for makes it longer, and all ranks' idle time with it.
  const passes = busy + slowest.exposed;
  const step = passes / (1 - bubble);
  const all = spec.positionsPerStep;
  return {
    computing,
    moving,
    communicating: slowest.all,
    exposed: slowest.exposed,
    idle: step - passes,
    step,
    tokensPerSecond: all / step,
    utilization: (flopsPerToken(model, spec.seqLen) * all) / spec.worldSize / step / peak,
  };
}

/** Operations for one position, forward and backward and once more forward where a layer is computed again. */
function operationsOf(spec: RunSpec, model: ModelConfig): { products: number; attention: number } {
  const costs = blockCosts(model, spec.seqLen);
  // One position attends to itself alone: what is left are the products.
  const bare = blockCosts(model, 0);
  const times = (block: number): number =>
    block > 0 && block <= model.numLayers && isRecomputed(checkpointingOf(spec), block - 1) ? 4 : 3;
  // Attention's backward makes its scores again: five products to forward's two.
  const attentionTimes = (block: number): number => times(block) + 0.5;
  return {
    products: bare.reduce((sum, cost, block) => sum + cost * times(block), 0),
    attention: costs.reduce((sum, cost, block) => sum + (cost - bare[block]!) * attentionTimes(block), 0),
  };
}

/** Bytes that the operators beside products read and write for one position: forward, and twice as much backward. */
function elementBytes(spec: RunSpec, model: ModelConfig): number {
  const { hiddenSize: d, numHeads, numKvHeads, headDim, numLayers, intermediateSize, vocabSize } = model;
  const bytes = spec.computeDtype === "float32" ? 4 : 2;
  const heads = (numHeads + numKvHeads) * headDim;
  // Two norms, each with the sum before it: three read or written; rotary embedding two; the activation three.
  const layer = 2 * 4 * d + 2 * heads + 3 * intermediateSize;
  const forward = Array.from({ length: numLayers }, (_, i) =>
    isRecomputed(checkpointingOf(spec), i) ? 4 : 3,
  ).reduce((sum, times) => sum + times * layer, 0);
  // Logits are written, and turned into their gradient.
  return bytes * (forward + 3 * vocabSize);
}

/** Bytes of the update, and of casting weights and adding up gradients once a pass. */
function updateBytes(spec: RunSpec, model: ModelConfig, stage: number): number {
  const { own, held, state } = trainedNumbers(spec, model, stage);
  const width = (dtype: string): number => (dtype === "float32" ? 4 : 2);
  const [param, compute] = [width(spec.dtype), width(spec.computeDtype)];
  // Weights and moments are read and written, gradients read.
  const update = own * 3 * param + 2 * state;
  const casts = param === compute ? 0 : 2 * (param + compute);
  return update + spec.accumulationSteps * held * (casts + compute + 2 * param);
}
