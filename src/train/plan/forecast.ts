// How much memory a run needs, counted from its configuration and its model, before anything is loaded.
import type { RunSpec } from "../../config/index.ts";
import { blockCosts, countParameters, type ModelConfig } from "../../models/index.ts";
import { isQuantized, numel, parametersOf, type BlockSpec, type ParameterSpec } from "../../nn/index.ts";
import { optimizerStateBytes } from "../../optim/index.ts";
import {
  blocksOfRank,
  expertBlocks,
  makeSchedule,
  ParallelDims,
  ranksOfStages,
  splitStages,
  tensorBlocks,
  type Action,
  type Schedule,
  type Stage,
} from "../../parallel/index.ts";
import { dtypeOfName } from "../../torch/index.ts";
import { trainedBlocks } from "../assembly/trained-blocks.ts";
import { checkpointingOf, isRecomputed, keptRows } from "../engine/checkpointing.ts";
import { peakBytes, type BlockMemory } from "./memory-walk.ts";

export interface MemoryForecast {
  /** Parameters of the whole model. */
  parameters: number;
  /** Bytes: weights, gradients, the optimizer's state. */
  stateBytes: number;
  /** Bytes of activations that the layers keep, at the peak: of one micro-batch, or of all that a pipeline stage holds. */
  activationBytes: number;
  /** Bytes of the copy from which a thread writes checkpoints (`checkpoint.async_mode`): weights and optimizer state. */
  snapshotBytes: number;
  /** Bytes of whole gradients that wait for a step's last pass, which reduces them (`parallelism.fsdp_reduce_gradients`). */
  heldGradientBytes: number;
  /** Bytes at the peak, beside the program itself: of the GPU's memory where there is one. */
  totalBytes: number;
  /** Bytes of main memory, where the GPU's is counted in `totalBytes`. */
  mainBytes: number;
}

/**
 * The forecast for one rank: in a pipeline, for the one that needs most. Activations are counted for full packs; packs with
 * padding need less.
 */
export function forecastMemory(spec: RunSpec, model: ModelConfig): MemoryForecast {
  const { pipeline } = spec.degrees;
  const ranks = Array.from({ length: pipeline }, (_, rank) => forecastRank(spec, model, rank));
  return ranks.reduce((most, one) => (one.totalBytes > most.totalBytes ? one : most));
}

/** A pipeline's stages and the schedule of one step (of one batch for GPipe), as the run has them. */
export function pipelineOf(
  spec: RunSpec,
  model: ModelConfig,
): { stages: Stage[]; schedule: Schedule; rounds: number } {
  const { degrees, accumulationSteps, pipelineSchedule: name, localBatchSize: rows, seqLen } = spec;
  const stages = splitStages(blockCosts(model, seqLen), ranksOfStages(name, degrees.pipeline).length);
  const rounds = name === "GPipe" ? accumulationSteps : 1;
  const microbatches = (rows * accumulationSteps) / rounds;
  return { stages, schedule: makeSchedule(name, degrees.pipeline, microbatches), rounds };
}

/** @param rank the pipeline rank; 0 without a pipeline */
export function forecastRank(spec: RunSpec, model: ModelConfig, rank: number): MemoryForecast {
  const { degrees, withGpus, cpuOffload: offload } = spec;
  const { tensor } = degrees;
  // Parameters are sharded over context ranks, too.
  const shard = degrees.shard * degrees.context;
  const bytesOf = (dtype: string): number => (dtype === "float32" ? 4 : 2);
  const own = bytesOf(spec.dtype);
  const mixed = spec.computeDtype !== spec.dtype;
  const bytes = { own, compute: bytesOf(spec.computeDtype), reduce: bytesOf(spec.reduceDtype) };
  const sharded = shard > 1 || offload;
  const passes = degrees.pipeline > 1 ? spec.localBatchSize * spec.accumulationSteps : spec.accumulationSteps;
  const reducesOnce = spec.reduceOnce && shard > 1 && passes > 1;
  const { stages, actions, splitsBackward } = passesOf(spec, model, rank);
  const blocks = trainedBlocks(spec, model);
  const sizes: Sizes = {
    spec,
    model,
    blocks,
    bytes,
    casts: mixed && !sharded,
    tied: model.tieEmbeddings && stages.rankOf[0] === stages.rankOf.at(-1),
  };
  // Dividing the experts among ranks leaves each as many of them as sharding does.
  const held = tensorBlocks(blocksOfRank(blocks, stages.all, stages.rankOf, rank).specs, tensor);
  const walked = new Map(
    stages.all
      .filter(({ index }) => stages.rankOf[index] === rank)
      .map((stage) => [stage.index, blocksOfStage(sizes, stage)]),
  );
  const weightsAndState = (numbersOf(held, own) * own + optimizerBytes(spec, held)) / shard;
  const gradients = spec.optimizer.inBackward ? 0 : countOf(held, ({ trainable }) => trainable) * own;
  const stateBytes = weightsAndState + gradients / shard;
  const resident = offload ? 0 : weightsAndState;
  const walk = {
    stages: walked,
    actions,
    splitsBackward,
    bytes,
    sharding: sharded
      ? {
          ranks: offload ? Infinity : shard,
          staysWhole: spec.reshardAfterForward === "never",
          copies: withGpus ? 1 : 2,
          reducesOnce,
        }
      : undefined,
    freesGradients: spec.optimizer.inBackward,
  };
  const snapshotBytes =
    spec.checkpoint.enable && spec.checkpoint.asyncMode !== "disabled" ? weightsAndState : 0;
  // On a GPU, snapshots and offloaded state are in main memory.
  return {
    parameters: countParameters(model),
    stateBytes,
    activationBytes: peakKept(walked, actions),
    heldGradientBytes: reducesOnce ? countOf(held, ({ trainable }) => trainable) * bytes.reduce : 0,
    snapshotBytes,
    totalBytes: peakBytes({ ...walk, resident }) + (withGpus ? 0 : snapshotBytes),
    mainBytes: withGpus ? snapshotBytes + (offload ? stateBytes : 0) : 0,
  };
}

/** Trained numbers of a pipeline rank: those that a process updates, those that it computes gradients of; and bytes of the moments. */
export function trainedNumbers(
  spec: RunSpec,
  model: ModelConfig,
  rank: number,
): { own: number; held: number; state: number } {
  const { tensor, shard, context } = spec.degrees;
  const { stages } = passesOf(spec, model, rank);
  const { specs } = blocksOfRank(trainedBlocks(spec, model), stages.all, stages.rankOf, rank);
  const parts = tensorBlocks(specs, tensor);
  const held = countOf(parts, ({ trainable }) => trainable);
  const ranks = shard * context;
  return { own: held / ranks, held, state: optimizerBytes(spec, parts) / ranks };
}

/** The optimizer's state of these parameters. */
function optimizerBytes(spec: RunSpec, specs: readonly BlockSpec[]): number {
  const dtype = dtypeOfName(spec.dtype)!;
  const trained = [...parametersOf(specs).values()].filter(({ trainable }) => trainable);
  return trained.reduce((sum, { shape }) => sum + optimizerStateBytes(spec.optimizer, { shape, dtype }), 0);
}

/** The passes of one step over a rank's stages; without a pipeline there is one stage of all blocks. */
function passesOf(spec: RunSpec, model: ModelConfig, rank: number) {
  const { degrees, accumulationSteps } = spec;
  if (degrees.pipeline === 1) {
    const actions = Array.from({ length: accumulationSteps }, (_, microbatch) =>
      (["forward", "backward"] as const).map((kind): Action => ({ kind, stage: 0, microbatch })),
    ).flat();
    const all: Stage[] = [{ index: 0, start: 0, end: model.numLayers + 2 }];
    return { stages: { all, rankOf: [0] }, actions, splitsBackward: false };
  }
  const { stages: all, schedule, rounds } = pipelineOf(spec, model);
  const round = schedule.order[rank]!;
  return {
    stages: { all, rankOf: schedule.rankOf },
    // A second round has the gradients of the first.
    actions: rounds > 1 ? [...round, ...round] : round,
    splitsBackward: schedule.splitsBackward,
  };
}

/** Bytes that the layers of a rank keep, at the peak. */
function peakKept(stages: ReadonlyMap<number, readonly BlockMemory[]>, actions: readonly Action[]): number {
  let [now, most] = [0, 0];
  for (const { kind, stage } of actions) {
    const kept = stages.get(stage)!.reduce((sum, block) => sum + block.kept, 0);
    if (kind !== "weight-backward") now += kind === "forward" ? kept : -kept;
    most = Math.max(most, now);
  }
  return most;
}

interface Sizes {
  readonly spec: RunSpec;
  readonly model: ModelConfig;
  /** All blocks of the model. */
  readonly blocks: readonly BlockSpec[];
  readonly bytes: { readonly own: number; readonly compute: number };
  /** Weights are cast to the compute type, and the copies kept. */
  readonly casts: boolean;
  /** This rank has embedding and head, as one parameter. */
  readonly tied: boolean;
}

function blocksOfStage({ spec, model, blocks, bytes, casts, tied }: Sizes, stage: Stage): BlockMemory[] {
  const { tensor, context, expert, pipeline } = spec.degrees;
  const { numHeads, numKvHeads, headDim, hiddenSize: d, numLayers, vocabSize } = model;
  const q = numHeads * headDim;
  const kv = numKvHeads * headDim;
  const tokens = (pipeline === 1 ? spec.localBatchSize : 1) * (spec.seqLen / context);
  const activations = (numbers: number): number => numbers * tokens * bytes.compute;
  // A layer keeps for each token: its input, q, k, v, attention's output, the residual, and the feed-forward's gate and up.
  // Mode `none` also keeps two normalized inputs and the activation.
  // Under tensor parallelism each rank has its shard of these; the two inputs of its matrices are whole, and kept in every mode.
  // Under context parallelism the keys and values of all ranks are kept, but in a ring: there they pass by, one block here and
  // one in flight.
  const isRing = spec.contextRotateMethod === "alltoall";
  const keys = 2 * kv * (isRing ? 1 : context);
  const passing = context > 1 && isRing ? (4 * kv) / tensor : 0;
  const { wholeExperts } = ParallelDims.of(spec);
  const feedForward = feedForwardOf(model, { tensor, expert, wholeExperts });
  // Gathered gradients of the outputs of row-parallel layers, and of the whole inputs of column-parallel ones.
  const regionGradients = tensor > 1 ? 2 * d : 0;
  const composed = composedScores(spec, model, bytes.compute) / tensor + normedResults(model) / tensor;
  const lean = (layer: number): number =>
    (2 * d + 2 * q + keys) / tensor + (tensor > 1 ? d : 0) + feedForward(layer).kept + composed;
  const whole = (layer: number): number => lean(layer) + d / tensor + feedForward(layer).keptBeside;
  const { mode } = spec.activationCheckpointing;
  const recomputes = (layer: number): boolean => isRecomputed(checkpointingOf(spec), layer);
  const layerOf = (layer: number): BlockMemory => {
    const block = [blocks[layer + 1]!] as const;
    const own = expertBlocks(block, { rank: 0, ranks: expert });
    const parts = tensorBlocks(own, tensor, wholeExperts);
    const numbers = numbersOf(parts, bytes.compute);
    const cast = casts ? countOf(parts, (one) => !isQuantized(one.storage)) * bytes.compute : 0;
    const most = mostQuantized(parts);
    // Products with quantized matrices aren't fused with the norm or the activation before them.
    const keeps = (mode === "none" && tensor === 1) || most > 0 ? whole(layer) : lean(layer);
    // What a product makes numbers of at a time: on a CPU a part that stays in its cache.
    const scratch = (spec.withGpus ? most : Math.min(most, 2 ** 20)) * bytes.compute;
    // Of the input of a quantized matrix two gradients are added up: that of its product and that of its adapter's.
    const perMatrix = most > 0 ? 2 : 1;
    const working = feedForward(layer).working * perMatrix + (q + d) / tensor + passing + regionGradients;
    const attending = scoreBytes({ spec, model, context, tensor });
    const [{ passesGradient = true }] = block;
    const trained = trainedIn(tensorBlocks(own, tensor, wholeExperts));
    return {
      numbers,
      ...(trained < numbers && { trained, passesGradient }),
      sharded: numbersOf(tensorBlocks(block, tensor), bytes.compute),
      kept: passesGradient ? activations(recomputes(layer) ? d / tensor : keeps) + cast : cast,
      waiting: activations(whole(layer) + (q + 2 * kv + 2 * d) / tensor + feedForward(layer).products) + cast,
      forward: activations(whole(layer)) + scratch,
      // Attention's scores and the feed-forward's gradients are never held at the same time.
      backward:
        activations((recomputes(layer) ? whole(layer) : 0) + working) +
        scratch +
        Math.max(0, attending - activations(feedForward(layer).working)),
    };
  };
  const vocabulary = (vocabSize * d) / tensor;
  const trainsEmbedding = trainedIn([blocks[0]!]) > 0;
  // The norm apart: it is too small to count.
  const trainsHead = model.tieEmbeddings ? trainsEmbedding : trainedIn([blocks.at(-1)!]) > d;
  const head = headMemory({
    tokens,
    d,
    vocabSize,
    tensor,
    compute: bytes.compute,
    withGpus: spec.withGpus,
    joinsLogits: !spec.lossParallel,
  });
  return Array.from({ length: stage.end - stage.start }, (_, i): BlockMemory => {
    const block = stage.start + i;
    if (block === 0) {
      return {
        numbers: vocabulary,
        ...(!trainsEmbedding && { trained: 0, passesGradient: false }),
        kept: 0,
        waiting: activations(d / tensor),
        forward: activations(d),
        backward: 0,
        addsRows: true,
      };
    }
    if (block <= numLayers) return layerOf(block - 1);
    return {
      numbers: tied ? 0 : vocabulary,
      ...(!trainsHead && { trained: 0 }),
      uses: vocabulary,
      kept: pipeline > 1 ? activations(d / tensor) : 0,
      waiting: 0,
      forward: 0,
      backward:
        // A cast copy of the weights; their gradient in the copy's type, then in their own once the logits are freed.
        (casts
          ? vocabulary * bytes.compute + (trainsHead ? Math.max(head, vocabulary * bytes.own) : head)
          : head) + (tied && trainsHead ? vocabulary * bytes.compute : 0),
      ...(tied && trainsHead && { tied: vocabulary * (casts ? bytes.own : bytes.compute) }),
    };
  });
}

/**
 * Scores of attention over cut sequences, in backward, where they are composed (native/fused/span_attention_composed.cc): of a
 * block of queries five numbers in float32 and one of the type that is computed with. The CPU's kernel for float32 has none.
 */
function scoreBytes(given: { spec: RunSpec; model: ModelConfig; context: number; tensor: number }): number {
  const { spec, model, context, tensor } = given;
  const { seqLen } = spec;
  const isNarrow = spec.computeDtype === "bfloat16";
  if (context === 1 || !(spec.withGpus || isNarrow)) return 0;
  const isRing = spec.contextRotateMethod === "alltoall";
  const keys = isRing ? seqLen / context : seqLen;
  const perQuery = keys * (model.numHeads / tensor);
  const queries = Math.min(seqLen / context, 512, Math.max(16, Math.floor(2 ** 28 / perQuery)));
  return queries * perQuery * (5 * 4 + (isNarrow ? 2 : 4));
}

/**
 * Scores that are soft-capped or have sinks are composed, and kept: of each head three numbers in float32 for each pair of tokens,
 * of documents that fill a sequence.
 */
function composedScores({ seqLen }: RunSpec, model: ModelConfig, compute: number): number {
  const isComposed = model.attentionSoftCap !== undefined || model.hasSinks === true;
  return isComposed ? (3 * 4 * model.numHeads * seqLen) / compute : 0;
}

/** What attention and feed-forward give is kept where it is normalized before it is added. */
const normedResults = ({ norms, hiddenSize }: ModelConfig): number =>
  [norms.attentionOut, norms.feedForwardOut].filter((one) => one !== undefined).length * 2 * hiddenSize;

/** What the head holds while it computes a chunk of logits, the gradient of its weights excepted. */
function headMemory(given: {
  tokens: number;
  d: number;
  vocabSize: number;
  tensor: number;
  compute: number;
  withGpus: boolean;
  /** Of a divided vocabulary the logits are put together. */
  joinsLogits: boolean;
}): number {
  const { tokens, d, vocabSize, tensor, compute, withGpus, joinsLogits } = given;
  const rows = Math.min(tokens, keptRows(!withGpus));
  const logits = (rows * vocabSize) / tensor;
  const narrow = compute === 2 ? 2 : 0;
  if (tensor > 1) {
    // Sums of the weights' gradient are in float32, beside a chunk's product of the type that is computed with.
    const product = (vocabSize * d * (4 + (narrow > 0 && !withGpus ? 4 : 0))) / tensor;
    // As they come, and side by side.
    const joined = joinsLogits ? 2 * logits * tensor * 4 : 0;
    return tokens * d * 3 * compute + logits * (4 + 2 * narrow) + Math.max(product, joined);
  }
  if (!withGpus) return tokens * d * (8 + 2 * compute) + logits * 4;
  // The logits, which become their gradient where they lie. Of several chunks the products are added up in float32 without one
  // of their own, and the gradient is a copy of the sum; the product of one chunk is copied, too.
  const isSummed = tokens > rows && narrow > 0;
  const product = isSummed ? 0 : vocabSize * d * compute;
  const sums = isSummed ? vocabSize * d * 4 : 0;
  return tokens * d * 2 * compute + Math.max(logits * compute + product, sums);
}

/** Of a layer's feed-forward, numbers for each token; of one with experts, where all get as many tokens. */
function feedForwardOf(
  model: ModelConfig,
  { tensor, expert, wholeExperts }: { tensor: number; expert: number; wholeExperts: boolean },
) {
  const { hiddenSize: d, intermediateSize: i, moe } = model;
  const gathered = tensor > 1 ? d : 0;
  const dense = {
    /** Gate and up; of an activation that isn't fused also what it gives, and its product. */
    kept: ((model.activation === "silu" ? 2 : 4) * i) / tensor + gathered,
    keptBeside: (d + (tensor > 1 ? 0 : i)) / tensor,
    /** In backward at one time. */
    working: (2 * i) / tensor,
    /** Gradients of products whose weights' gradients wait. */
    products: (2 * i) / tensor,
  };
  if (moe === undefined) return () => dense;
  const { numExperts, expertsPerToken: k, intermediateSize } = moe;
  // A part of every expert for all tokens, or whole experts for a part of the tokens.
  const own = wholeExperts ? intermediateSize : intermediateSize / tensor;
  const part = wholeExperts ? tensor : 1;
  const experts = {
    // The normalized input, or where experts are other ranks' the rows that came; gate and up of each pair; probabilities.
    kept:
      ((expert > 1 ? k * d : 0) + ((!wholeExperts && gathered) || d) + 2 * k * own + 2 * numExperts) / part +
      (2 * (moe.shared?.intermediateSize ?? 0)) / tensor,
    keptBeside: 0,
    working: (k * ((expert > 1 ? 4 : 3) * d + 5 * own)) / part,
    // Where experts are other ranks', of the rows that go and come back, too.
    products: (numExperts + d + (expert > 1 ? 2 * k * d : 0)) / part,
  };
  return (layer: number) => (moe.layers[layer] === true ? experts : dense);
}

const trainedIn = (blocks: readonly BlockSpec[]): number => countOf(blocks, ({ trainable }) => trainable);

/** What parameters take, in numbers of so many bytes: quantized ones in as many as their bytes fill. */
export function numbersOf(blocks: readonly BlockSpec[], bytes: number): number {
  let sum = 0;
  for (const { storage, shape } of parametersOf(blocks).values())
    sum += isQuantized(storage) ? storage.bytes(shape) / bytes : numel(shape);
  return sum;
}

/** Numbers of the largest quantized matrix. */
function mostQuantized(blocks: readonly BlockSpec[]): number {
  const all = [...parametersOf(blocks).values()].filter(({ storage }) => isQuantized(storage));
  return all.reduce((most, { shape }) => Math.max(most, numel(shape)), 0);
}

/** Numbers in the parameters of some blocks, or in those that are meant. */
export function countOf(
  blocks: readonly BlockSpec[],
  isMeant: (spec: ParameterSpec) => boolean = () => true,
): number {
  let sum = 0;
  for (const { parameters } of blocks)
    for (const spec of parameters.values()) if (isMeant(spec)) sum += numel(spec.shape);
  return sum;
}

/** Positions that all steps of the run compute, padding included. */
export function totalPositions({ positionsPerStep, steps }: RunSpec): number {
  return positionsPerStep * steps;
}
