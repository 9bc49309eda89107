// How much memory a run needs, counted from its configuration and its model, before anything is loaded.
import { derive, type TorchforgeConfig } from "../config/index.ts";
import { blockCosts, blockSpecs, countParameters, type ModelConfig } from "../models/index.ts";
import {
  blocksOfRank,
  makeSchedule,
  ranksOfStages,
  splitStages,
  type Schedule,
  type Stage,
} from "../parallel/index.ts";

export interface MemoryForecast {
  /** Of the whole model. */
  parameters: number;
  /** Bytes: weights, gradients, the optimizer's two moments. */
  stateBytes: number;
  /** Bytes that the layers keep at most: for one micro-batch, or for those that a pipeline stage holds. */
  activationBytes: number;
  /** Bytes of the copy from which a thread writes checkpoints (`checkpoint.async_mode`): weights and moments. */
  snapshotBytes: number;
  /** Bytes of the most that is needed at one time, beside the program itself: of the GPU's memory where there is one. */
  totalBytes: number;
  /** Bytes of main memory, where the GPU's is counted in `totalBytes`. */
  mainBytes: number;
}

/**
 * The forecast for one rank: in a pipeline, for the one that needs most. Activations are counted for full packs; packs with
 * padding need less.
 */
export function forecastMemory(config: TorchforgeConfig, model: ModelConfig): MemoryForecast {
  const { pipeline } = derive(config).degrees;
  const ranks = Array.from({ length: pipeline }, (_, rank) => forecastRank(config, model, rank));
  return ranks.reduce((most, one) => (one.totalBytes > most.totalBytes ? one : most));
}

/** A pipeline's stages and the schedule of one step (of one batch for GPipe), as the run has them. */
export function pipelineOf(
  config: TorchforgeConfig,
  model: ModelConfig,
): { stages: Stage[]; schedule: Schedule; rounds: number } {
  const { degrees, accumulationSteps } = derive(config);
  const { pipeline_parallel_schedule: name } = config.parallelism;
  const { local_batch_size: rows, seq_len: seqLen } = config.training;
  const stages = splitStages(blockCosts(model, seqLen), ranksOfStages(name, degrees.pipeline).length);
  const rounds = name === "GPipe" ? accumulationSteps : 1;
  const microbatches = (rows * accumulationSteps) / rounds;
  return { stages, schedule: makeSchedule(name, degrees.pipeline, microbatches), rounds };
}

/** The forecast for the ranks at one place of the pipeline; without one there is but the place 0. */
export function forecastRank(config: TorchforgeConfig, model: ModelConfig, rank: number): MemoryForecast {
  const bytes = config.training.dtype === "bfloat16" ? 2 : 4;
  const mixed = config.training.dtype === "float32" && config.training.mixed_precision_param === "bfloat16";
  const computeBytes = mixed ? 2 : bytes;
  const { numHeads, numKvHeads, headDim, hiddenSize: d, numLayers } = model;
  const { degrees } = derive(config);
  const { tensor, context, expert } = degrees;
  // The ranks of a context group divide parameters as those of shards do.
  const shard = degrees.shard * context;
  const { local_batch_size: batch } = config.training;
  const seqLen = config.training.seq_len / context;
  const q = numHeads * headDim;
  const kv = numKvHeads * headDim;
  // What a layer keeps for each token: its input, q, k, v, attention's output, the residual, and of its feed-forward gate and
  // up; what `none` keeps beside: two normalized inputs and the activation.
  // Under tensor parallelism each rank has its part of them; the two inputs of its matrices are whole, and kept.
  // Under context parallelism keys and values of all ranks are kept, unless they pass by.
  const { context_parallel_rotate_method: rotate } = config.parallelism;
  const keys = 2 * kv * (rotate === "allgather" ? context : 1);
  const feedForward = feedForwardOf(model, { tensor, expert });
  const lean = (layer: number): number =>
    (2 * d + 2 * q + keys) / tensor + (tensor > 1 ? d : 0) + feedForward(layer).kept;
  const whole = (layer: number): number => lean(layer) + d / tensor + feedForward(layer).keptBeside;
  const { mode, selective_ac_option: option } = config.activation_checkpoint;
  const perLayer = (layer: number): number => {
    if (mode === "none") return whole(layer);
    if (mode === "full") return d / tensor;
    return option !== "op" && layer % Number(option) === 0 ? d / tensor : lean(layer);
  };
  // A ring's blocks of keys and values, here and on the way.
  const passing = context > 1 && rotate === "alltoall" ? (4 * kv) / tensor : 0;
  const working = Array.from({ length: numLayers }, (_, layer) =>
    mode === "full" || option !== "op" ? whole(layer) : feedForward(layer).working + q / tensor,
  ).reduce((most, one) => Math.max(most, passing + one), 0);
  const parameters = countParameters(model);
  // Norms, which every rank of a tensor group has, are too few to count.
  const { pipeline } = degrees;
  const layersOf = ({ start, end }: Stage): number[] =>
    Array.from({ length: end - start }, (_, k) => start + k - 1).filter((k) => k >= 0 && k < numLayers);

  let own = parameters / tensor;
  let elements = 0;
  if (pipeline === 1) {
    let kept = 0;
    for (let layer = 0; layer < numLayers; layer++) kept += perLayer(layer);
    elements = batch * seqLen * (kept + working);
  } else {
    const { stages, schedule } = pipelineOf(config, model);
    const { specs } = blocksOfRank(blockSpecs(model), stages, schedule.rankOf, rank);
    own = countOf(specs) / tensor;
    const kept = stages.map((stage) => {
      const layers = layersOf(stage);
      // The last stage holds what the head begins with; weights that wait hold their products' gradients, and all of a layer.
      const forward =
        layers.reduce((sum, layer) => sum + perLayer(layer), 0) +
        (stage.end === numLayers + 2 ? d / tensor : 0);
      const weights = layers.reduce(
        (sum, layer) => sum + whole(layer) + (q + 2 * kv + 2 * d) / tensor + feedForward(layer).products,
        0,
      );
      return { forward, weights };
    });
    let [now, most] = [0, 0];
    for (const { kind, stage } of schedule.order[rank]!) {
      const { forward, weights } = kept[stage]!;
      if (kind === "forward") now += forward;
      else if (kind === "weight-backward") now -= weights;
      else now += (schedule.splitsBackward ? weights : 0) - forward;
      most = Math.max(most, now);
    }
    elements = seqLen * (most + working);
  }
  const activationBytes = elements * computeBytes;
  const stateBytes = (own * bytes * 4) / shard;
  // The largest gradient: of the head or of the embedding, where this rank has one of them.
  const ends = pipeline === 1 || hasEnd(config, model, rank);
  const head = ends ? (model.vocabSize * d) / tensor : 0;
  // Gradients appear as activations go: the two peaks don't meet. Mixed precision keeps every layer's weights in its own
  // type until they have met their gradients; sharded, the head and two layers are whole at a time (one computes, one comes);
  // in a pipeline all that a rank has stay whole, unless they are freed after each pass.
  const layer =
    (countParameters(model, (model.mixture?.numExperts ?? 0) / expert) - model.vocabSize * d) /
    tensor /
    numLayers;
  const staysWhole = pipeline > 1 && config.parallelism.fsdp_reshard_after_forward !== "always";
  const wholeBytes = (staysWhole ? own : head + 2 * layer) * computeBytes;
  const { enable_cpu_offload: offload } = config.training;
  const castBytes = shard > 1 || offload ? wholeBytes : mixed ? own * computeBytes : 0;
  // A pipeline holds gradients of earlier microbatches while later ones are under way.
  const states = pipeline > 1 ? 4 : 3;
  const snapshotBytes =
    config.checkpoint.enable && config.checkpoint.async_mode !== "disabled" ? (own * bytes * 3) / shard : 0;
  const residentBytes = offload ? 0 : (own * bytes * states) / shard;
  const beforeGradients = residentBytes + castBytes + activationBytes;
  // Snapshots and what is offloaded lie in main memory, where devices have their own.
  const { with_gpus: withGpus } = config.processes;
  return {
    parameters,
    stateBytes,
    activationBytes,
    snapshotBytes,
    totalBytes:
      Math.max(beforeGradients + head * bytes, offload ? 0 : stateBytes) + (withGpus ? 0 : snapshotBytes),
    mainBytes: withGpus ? snapshotBytes + (offload ? stateBytes : 0) : 0,
  };
}

/** Of a layer's feed-forward, numbers for each token; of one with experts, where all get as many tokens. */
function feedForwardOf(model: ModelConfig, { tensor, expert }: { tensor: number; expert: number }) {
  const { hiddenSize: d, intermediateSize: i, mixture } = model;
  const gathered = tensor > 1 ? d : 0;
  const dense = {
    /** Gate and up. */
    kept: (2 * i) / tensor + gathered,
    keptBeside: (d + (tensor > 1 ? 0 : i)) / tensor,
    /** In backward at one time. */
    working: (2 * i) / tensor,
    /** Gradients of products whose weights' gradients wait. */
    products: (2 * i) / tensor,
  };
  if (mixture === undefined) return () => dense;
  const { numExperts, expertsPerToken: k, intermediateSize } = mixture;
  const own = intermediateSize / tensor;
  const experts = {
    // The normalized input, or where experts are other ranks' the rows that came; gate and up of each pair; probabilities.
    kept: (expert > 1 ? k * d : 0) + (gathered || d) + 2 * k * own + 2 * numExperts,
    keptBeside: 0,
    working: k * (3 * d + 5 * own),
    products: numExperts + d,
  };
  return (layer: number) => (mixture.layers[layer] === true ? experts : dense);
}

/** Numbers in the parameters of some blocks, or in those whose names are meant. */
export function countOf(
  specs: readonly { parameters: ReadonlyMap<string, readonly number[]> }[],
  isMeant: (name: string) => boolean = () => true,
): number {
  let sum = 0;
  for (const { parameters } of specs)
    for (const [name, shape] of parameters) if (isMeant(name)) sum += shape.reduce((a, b) => a * b, 1);
  return sum;
}

function hasEnd(config: TorchforgeConfig, model: ModelConfig, rank: number): boolean {
  const { rankOf } = pipelineOf(config, model).schedule;
  return rankOf[0] === rank || rankOf.at(-1) === rank;
}

/** Positions that all steps of the run compute, padding included. */
export function totalPositions(config: TorchforgeConfig): number {
  return derive(config).positionsPerStep * config.training.steps;
}
