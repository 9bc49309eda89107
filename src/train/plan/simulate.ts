// Simulates a step of one rank of a run of any size: the run's own strategy and step, on tensors without memory (device meta),
// with collectives whose other ranks don't exist. What it allocates and sends is counted, not computed by a formula. Gradients
// and losses have no values.
import {
  destroyProcessGroup,
  simulateProcessGroup,
  simulatedCalls,
  type SimulatedCalls,
} from "../../comm/index.ts";
import type { RunSpec } from "../../config/index.ts";
import type { ModelConfig } from "../../models/index.ts";
import { inMainMemory, ParallelDims, stagesPerRank } from "../../parallel/index.ts";
import { memoryStats, setMetaMemory, resetPeakMemory, scope } from "../../torch/index.ts";
import { assemble, stepOptionsOf } from "../assembly/assemble.ts";
import { keptRows } from "../engine/checkpointing.ts";
import { fullBatch } from "./full-batch.ts";
import { contextOf, openPlacement, placeStages } from "../assembly/placement.ts";
import { Update } from "../engine/update.ts";

/** A rank's collectives of one kind, over groups along the same axes. */
export interface Traffic {
  /** Mesh axes of the groups: `dp_shard`, `tp` … */
  readonly axis: string;
  readonly ranks: number;
  /** Whether all ranks of the groups are on one machine. */
  readonly isWithin: boolean;
  readonly kind: SimulatedCalls["kind"];
  readonly calls: number;
  /** Bytes that the rank sends, with ring collectives. */
  readonly sentBytes: number;
  /** Of these, the bytes of calls that it waits for before it computes anything else. */
  readonly waitedBytes: number;
}

export interface SimulatedRank {
  /** Global rank. */
  readonly rank: number;
  /** Its pipeline rank; 0 without a pipeline. */
  readonly stage: number;
  /** Bytes before a step: weights and optimizer state. */
  readonly stateBytes: number;
  /** Bytes at the peak of a step. Both are of the GPU's memory where there is one. */
  readonly peakBytes: number;
  /** With a GPU, bytes of main memory at the peak: offloaded weights, gradients and optimizer state. */
  readonly mainBytes: number;
  readonly traffic: readonly Traffic[];
}

/** Bytes that a rank of `n` sends for a call with `bytes` of input. Source: NCCL's and Gloo's rings. */
function sent(kind: string, bytes: number, n: number): number {
  switch (kind) {
    case "all-gather":
      return bytes * (n - 1);
    case "reduce-scatter":
      return (bytes * (n - 1)) / n;
    case "all-reduce":
      return (2 * bytes * (n - 1)) / n;
    case "receive":
    case "barrier":
      return 0;
    default:
      return bytes;
  }
}

/**
 * Simulates one rank at each place of the pipeline: the others there do the same. Tokens have no values, so that every expert
 * gets as many of them.
 * @param perMachine processes of a machine
 * @throws UserError where training would refuse the configuration
 */
export async function simulate(spec: RunSpec, model: ModelConfig, perMachine = 8): Promise<SimulatedRank[]> {
  const dims = ParallelDims.of(spec);
  dims.checkModel(model, stagesPerRank(spec.pipelineSchedule));
  const { pipeline } = dims.degrees;
  const found: SimulatedRank[] = [];
  for (let stage = 0; stage < pipeline; stage++)
    found.push(
      await simulateRank(spec, model, { rank: (stage * dims.worldSize) / pipeline, stage, perMachine }),
    );
  return found;
}

async function simulateRank(
  spec: RunSpec,
  model: ModelConfig,
  { rank, stage, perMachine }: { rank: number; stage: number; perMachine: number },
): Promise<SimulatedRank> {
  const { worldSize, accumulationSteps, withGpus } = spec;
  setMetaMemory(withGpus ? "accelerator" : "cpu");
  simulateProcessGroup({ rank, worldSize, backend: spec.backend });
  try {
    const placement = await openPlacement(spec);
    const stages = await placeStages(spec, model, placement);
    using _ = scope();
    const before = memoryStats("meta").currentBytes;
    const mainBefore = inMainMemory("meta", () => memoryStats("meta").currentBytes);
    const { blocks, strategy, model: decoder, optimizer } = assemble(spec, model, placement, stages);
    const update = new Update({
      model: decoder,
      strategy,
      optimizer,
      ranks: placement.ranks,
      context: contextOf(spec, placement),
      // On meta tensors the step can't see which device they stand for.
      inBackward: spec.optimizer.inBackward,
      options: { ...stepOptionsOf(spec, blocks), logitsChunk: keptRows(!withGpus) * model.vocabSize },
    });
    const stateBytes = memoryStats("meta").currentBytes - before;
    const batch = fullBatch(spec, model.vocabSize);
    const batches = Array.from({ length: accumulationSteps }, () => batch);
    simulatedCalls();
    resetPeakMemory("meta");
    inMainMemory("meta", () => resetPeakMemory("meta"));
    const trained = batch.trainedTokens * accumulationSteps * placement.ranks.data.worldSize;
    const numbers = { lr: 0, maxNorm: spec.maxNorm };
    update.apply(update.gradients(batches, trained, numbers), numbers);
    return {
      rank,
      stage,
      stateBytes,
      peakBytes: memoryStats("meta").peakBytes - before,
      mainBytes: withGpus ? inMainMemory("meta", () => memoryStats("meta").peakBytes) - mainBefore : 0,
      traffic: trafficOf(simulatedCalls(), placement.dims, perMachine),
    };
  } finally {
    await destroyProcessGroup();
  }
}

function trafficOf(
  calls: readonly SimulatedCalls[],
  { layout }: ParallelDims,
  perMachine: number,
): Traffic[] {
  const found = new Map<string, Traffic>();
  for (const { group, kind, ...one } of calls) {
    const axis = axisOf(group.name, layout?.axes ?? []);
    const key = `${axis} ${kind}`;
    const before = found.get(key);
    found.set(key, {
      axis,
      ranks: group.size,
      isWithin: new Set(group.ranks.map((rank) => Math.floor(rank / perMachine))).size === 1,
      kind,
      calls: (before?.calls ?? 0) + one.calls,
      sentBytes: (before?.sentBytes ?? 0) + sent(kind, one.bytes, group.size),
      waitedBytes: (before?.waitedBytes ?? 0) + sent(kind, one.waitedBytes, group.size),
    });
  }
  return [...found.values()];
}

/** Groups are named for their axes: `dp_shard+cp ranks 0,1`. That of the whole world is reused by whatever spans it. */
function axisOf(name: string, axes: readonly string[]): string {
  if (name === "world") return axes.join("+");
  const [what] = name.split(/,? ranks/) as [string];
  return what.startsWith("pipeline") ? "pp" : what;
}
