// Traffic of context parallelism: keys and values of every layer, and their gradients.
import type { RunSpec } from "../../config/index.ts";
import type { ModelConfig } from "../../models/index.ts";
import { checkpointingOf, isRecomputed } from "../engine/checkpointing.ts";

/**
 * Bytes that a rank sends in a step.
 * @param layers indexes of its layers
 * @param computeBytes bytes of an element of an activation
 */
export function contextTraffic(
  spec: RunSpec,
  model: ModelConfig,
  layers: readonly number[],
  computeBytes: number,
): number {
  const { accumulationSteps, localBatchSize: rows, seqLen } = spec;
  const { tensor, context } = spec.degrees;
  // Keys and values of a rank's own tokens.
  const block = (2 * model.numKvHeads * model.headDim * rows * accumulationSteps * seqLen) / context / tensor;
  const isRing = spec.contextRotateMethod === "alltoall";
  return layers.reduce((sum, layer) => {
    const forward =
      (isRecomputed(checkpointingOf(spec), layer) ? 2 : 1) * block * (context - 1) * computeBytes;
    // In a ring, keys and values go round once more, and their gradients, in float32, return to their rank.
    const backward = isRing
      ? block * ((context - 1) * computeBytes + context * 4)
      : block * (context - 1) * computeBytes;
    return sum + forward + backward;
  }, 0);
}
