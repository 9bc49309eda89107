// Bytes that a process sends in a step, by kind, for ring collectives: counted from shapes alone.
// A simulated step (simulate.ts) counts the same calls as they are made, and this is tested against it.
import type { RunSpec } from "../../config/index.ts";
import { type ModelConfig } from "../../models/index.ts";
import { isQuantized, numel, type BlockSpec, type ParameterSpec } from "../../nn/index.ts";
import { blocksOfRank, expertBlocks, ParallelDims, tensorBlocks } from "../../parallel/index.ts";
import { trainedBlocks } from "../assembly/trained-blocks.ts";
import { checkpointingOf, isRecomputed } from "../engine/checkpointing.ts";
import { contextTraffic } from "./context-traffic.ts";
import { pipelineOf } from "./forecast.ts";

export interface PlannedTraffic {
  readonly name: string;
  /** Bytes that the process sends in a step. */
  readonly bytes: number;
  /** What they are, in words. */
  readonly how: string;
}

/** @param rank the pipeline rank; 0 without a pipeline */
export function plannedTraffic(spec: RunSpec, model: ModelConfig, rank: number): PlannedTraffic[] {
  const { degrees, accumulationSteps, seqLen } = spec;
  const { tensor, context, expert, replicate, shard } = degrees;
  const bytesOf = (name: string): number => (name === "float32" ? 4 : 2);
  const own = bytesOf(spec.dtype);
  const compute = bytesOf(spec.computeDtype);
  const reduce = bytesOf(spec.reduceDtype);
  const found: PlannedTraffic[] = [];
  const add = (name: string, bytes: number, how: string): void => {
    if (bytes > 0) found.push({ name, bytes, how });
  };

  const all = trainedBlocks(spec, model);
  const pipeline = degrees.pipeline > 1 ? pipelineOf(spec, model) : undefined;
  const { blocks, specs } = pipeline
    ? blocksOfRank(all, pipeline.stages, pipeline.schedule.rankOf, rank)
    : { blocks: all.map((_, i) => i), specs: all };
  const { wholeExperts } = ParallelDims.of(spec);
  const parts = tensorBlocks(expertBlocks(specs, { rank: 0, ranks: expert }), tensor, wholeExperts);
  const head = model.numLayers + 1;
  const hasHead = blocks.includes(head);
  const layers = blocks.filter((block) => block > 0 && block < head).map((block) => block - 1);
  /** Passes over the chosen layers: forward, recomputation where there is one, backward. */
  const runsOf = (isChosen: (layer: number) => boolean): number =>
    layers
      .filter(isChosen)
      .reduce((sum, layer) => sum + (isRecomputed(checkpointingOf(spec), layer) ? 3 : 2), 0);
  const hasExperts = (layer: number): boolean => model.moe?.layers[layer] === true;
  const rows = spec.localBatchSize * accumulationSteps;
  const passes = pipeline ? rows : accumulationSteps;
  // Context ranks share rows, and parameters are sharded over them, too.
  const tokens = (rows * seqLen) / context;
  const shards = shard * context;
  /** Ranks that have the same experts. */
  const same = (wholeExperts ? shards * tensor : shards) / expert;
  const activation = tokens * model.hiddenSize * compute;
  /** Share of a gathered (or of a reduce-scattered) tensor that each rank of a ring sends. */
  const others = (ranks: number): number => (ranks - 1) / ranks;
  const sentBy = (
    ranks: number,
    isChosen: (spec: ParameterSpec) => boolean,
    of: readonly BlockSpec[],
  ): number => (ranks - 1) * chunksOf(of, ranks, isChosen);
  const isExpert = (spec: ParameterSpec): boolean => expert > 1 && spec.expert !== undefined;
  const isOther = (spec: ParameterSpec): boolean => !isExpert(spec);
  /** Elements that a rank sends to gather, or to reduce-scatter, these blocks once. */
  const shared = (of: readonly BlockSpec[], isMoved: (spec: ParameterSpec) => boolean = () => true): number =>
    sentBy(shards, (one) => isOther(one) && isMoved(one), of) +
    sentBy(same, (one) => isExpert(one) && isMoved(one), of);
  const isTrained = ({ trainable }: ParameterSpec): boolean => trainable;
  /** Bytes that a rank sends to gather these blocks once: quantized parameters as they are stored. */
  const gathered = (of: readonly BlockSpec[]): number =>
    shared(of, ({ storage }) => !isQuantized(storage)) * compute +
    shared(of, ({ storage }) => isQuantized(storage));

  if (pipeline) {
    const { rankOf } = pipeline.schedule;
    const borders = rankOf.slice(1).filter((to, i) => (rankOf[i] === rank) !== (to === rank)).length;
    add(
      "stages",
      (borders * activation) / tensor,
      `${rows} activations and gradients of [${tokens / rows / tensor}, ${model.hiddenSize}] at each border`,
    );
    const ends = [rankOf[0], rankOf.at(-1)];
    // An all-reduce of two ranks: each sends all that it has.
    if (model.tieEmbeddings && ends[0] !== ends[1] && ends.includes(rank)) {
      const vocabulary = Math.ceil(model.vocabSize / tensor / shards);
      add(
        "tied embedding",
        vocabulary * model.hiddenSize * own,
        "its gradient, between first and last stage",
      );
    }
  }
  if (context > 1) {
    add(
      "context",
      contextTraffic(spec, model, layers, compute),
      `keys, values and their gradients in ${layers.length} layers (${spec.contextRotateMethod})`,
    );
  }
  if (tensor > 1) {
    // Rows are gathered before q, k and v and before gate and up, sums divided after attention and feed-forward; backward the
    // same the other way round. Of the embedding and the head there is one of them, and back; whole experts do without.
    const hasEmbedding = blocks.includes(0);
    const apart = wholeExperts ? 2 * runsOf(hasExperts) : 0;
    const ways = 4 * runsOf(() => true) - apart + 2 * Number(hasEmbedding) + 2 * Number(hasHead);
    // Unless a block's parameters are cast together, the embedding's are of their own type.
    const isCast = shards > 1 || expert > 1 || spec.cpuOffload;
    const wider = hasEmbedding && !isCast ? own / compute - 1 : 0;
    add(
      "tensor",
      (ways + wider) * activation * others(tensor),
      `activations of [${seqLen / context}, ${model.hiddenSize}] a row, gathered or added up ${ways} times`,
    );
    // Of each row the greatest logit, the sum of exponentials, the label's logit; or all logits. In float32.
    const logits = spec.lossParallel
      ? 3 * tokens * 2 * others(tensor)
      : tokens * model.vocabSize * others(tensor);
    if (hasHead) add("loss", logits * 4, spec.lossParallel ? "three numbers a row" : "logits");
    const whole = chunksOf(parts, shards, ({ split, trainable }) => split === "none" && trainable);
    add("norms", 2 * whole * own * others(tensor), "gradients of what every tensor rank has, once");
  }
  // Each rank of a ring sends all shards but one; an all-reduce over replicas goes round twice.
  if (shards > 1 || same > 1) {
    const { reshardAfterForward: reshards } = spec;
    const staysWhole = reshards === "never";
    // Embedding and head are computed with once a pass, and the last layer stays for backward, which begins with it.
    const isTwice = (i: number): boolean =>
      blocks[i]! > 0 && blocks[i]! < head && (reshards === "always" || i !== blocks.length - 2);
    const twice = staysWhole
      ? []
      : parts.filter(({ passesGradient = true }, i) => isTwice(i) && passesGradient);
    const times = staysWhole ? 1 : passes;
    const count = (n: number): string => `${n} ${n === 1 ? "time" : "times"}`;
    add(
      "all-gather",
      (gathered(parts) + gathered(twice)) * times,
      staysWhole ? "parameters, once" : `parameters, forward and of layers backward, ${count(times)}`,
    );
    const reductions = spec.reduceOnce ? 1 : passes;
    add(
      "reduce-scatter",
      shared(parts, isTrained) * reduce * reductions,
      `gradients, ${spec.reduceOnce ? "once" : count(reductions)}`,
    );
  }
  if (expert > 1) {
    const runs = runsOf(hasExperts);
    // To the expert with a weight in float32, and back.
    const part = wholeExperts ? tensor : 1;
    const pairs = (tokens / part) * model.moe!.expertsPerToken * others(expert);
    add(
      "all-to-all",
      pairs * (2 * model.hiddenSize * compute + 4) * runs,
      `tokens to experts and back in ${layers.filter(hasExperts).length} layers, ${2 * runs} times in all; where all get as many`,
    );
  }
  if (replicate > 1) {
    const held =
      chunksOf(parts, shards, (one) => isOther(one) && one.trainable) +
      chunksOf(parts, same, (one) => isExpert(one) && one.trainable);
    add("all-reduce", 2 * held * reduce * others(replicate), "gradients, once");
  }
  return found;
}

/** Stored elements of one rank's shard of the chosen parameters; shards are padded to one size. */
function chunksOf(
  blocks: readonly BlockSpec[],
  ranks: number,
  isChosen: (spec: ParameterSpec) => boolean,
): number {
  let sum = 0;
  for (const { parameters } of blocks)
    for (const spec of parameters.values()) {
      const [rows, ...rest] = spec.storage?.storedShape(spec.shape) ?? spec.shape;
      if (isChosen(spec)) sum += Math.ceil(rows! / ranks) * numel(rest);
    }
  return sum;
}
