// How much memory a run needs, counted from its configuration and its model, before anything is loaded.
import { derive, type TorchforgeConfig } from "../config/index.ts";
import { countParameters, type ModelConfig } from "../models/index.ts";

export interface MemoryForecast {
  parameters: number;
  /** Bytes: weights, gradients, the optimizer's two moments. */
  stateBytes: number;
  /** Bytes that the layers keep for one micro-batch, at most. */
  activationBytes: number;
  /** Bytes of the most that is needed at one time, beside the program itself. */
  totalBytes: number;
}

/** The forecast for one rank. Activations are counted for full packs; packs with padding need less. */
export function forecastMemory(config: TorchforgeConfig, model: ModelConfig): MemoryForecast {
  const bytes = config.training.dtype === "bfloat16" ? 2 : 4;
  const mixed = config.training.dtype === "float32" && config.training.mixed_precision_param === "bfloat16";
  const computeBytes = mixed ? 2 : bytes;
  const { numHeads, numKvHeads, headDim, hiddenSize: d, intermediateSize: i, numLayers } = model;
  const tokens = config.training.local_batch_size * config.training.seq_len;
  const q = numHeads * headDim;
  const kv = numKvHeads * headDim;
  // What a layer keeps for each token: its input, q, k, v, attention's output, the residual, gate and up; what `none`
  // keeps beside: two normalized inputs and the activation.
  // Under tensor parallelism each rank has its part of them; the two inputs of its matrices are whole, and kept.
  const { shard, tensor } = derive(config).degrees;
  const gathered = tensor > 1 ? 2 * d : 0;
  const lean = (d + (q + 2 * kv) + q + d + 2 * i) / tensor + gathered;
  const whole = lean + (2 * d + (tensor > 1 ? 0 : i)) / tensor;
  const { mode, selective_ac_option: option } = config.activation_checkpoint;
  const perLayer = (layer: number): number => {
    if (mode === "none") return whole;
    if (mode === "full") return d / tensor;
    return option !== "op" && layer % Number(option) === 0 ? d / tensor : lean;
  };
  let kept = 0;
  for (let layer = 0; layer < numLayers; layer++) kept += perLayer(layer);
  const working = mode === "full" || option !== "op" ? whole : (2 * i + q) / tensor;
  const parameters = countParameters(model);
  const activationBytes = tokens * (kept + working) * computeBytes;
  // Norms, which every rank of a tensor group has, are too few to count.
  const own = parameters / tensor;
  const stateBytes = (own * bytes * 4) / shard;
  const head = (model.vocabSize * d) / tensor;
  // Gradients appear as activations go: the two peaks don't meet. Mixed precision keeps every layer's weights in its own
  // type until they have met their gradients; sharded, the head and two layers are whole at a time (one computes, one comes).
  const layer = (own - head) / numLayers;
  const castBytes = shard > 1 ? (head + 2 * layer) * computeBytes : mixed ? own * computeBytes : 0;
  const beforeGradients = (own * bytes * 3) / shard + castBytes + activationBytes;
  return {
    parameters,
    stateBytes,
    activationBytes,
    totalBytes: Math.max(beforeGradients + head * bytes, stateBytes),
  };
}

/** Positions that all steps of the run compute, padding included. */
export function totalPositions(config: TorchforgeConfig): number {
  return derive(config).positionsPerStep * config.training.steps;
}
