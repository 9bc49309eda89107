// One step of one rank of a big run, here: the run's own strategy and step on tensors without memory (device meta) beside
// ranks that aren't there. What it allocates and what it sends is counted, not computed by a formula. It finds no number:
// gradients and losses have no values.
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

/** What a rank called of one kind, in groups along the same axes. */
export interface Traffic {
  /** Axes of the mesh over which the ranks speak: `dp_shard`, `tp` … */
  readonly axis: string;
  readonly ranks: number;
  readonly kind: SimulatedCalls["kind"];
  readonly calls: number;
  /** Bytes that the rank sends, where the ranks pass the data round in a ring. */
  readonly sentBytes: number;
  /** Of them those of calls that it waits for before it computes anything else. */
  readonly waitedBytes: number;
}

export interface SimulatedRank {
  /** In the world. */
  readonly rank: number;
  /** Its place in the pipeline; 0 without one. */
  readonly stage: number;
  /** Bytes before a step: weights and moments. */
  readonly stateBytes: number;
  /** The most during a step. Both of the GPU's memory where there is one. */
  readonly peakBytes: number;
  /** The most of main memory during a step, where the GPU's is counted above: weights, gradients and moments that are offloaded. */
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
 * The step of the first rank of each place in the pipeline: the others of a stage do the same. To experts tokens go by their
 * values; without them all experts get as many.
 * @throws UserError where training would refuse the configuration
 */
export async function simulate(spec: RunSpec, model: ModelConfig): Promise<SimulatedRank[]> {
  const dims = ParallelDims.of(spec);
  dims.checkModel(model, stagesPerRank(spec.pipelineSchedule));
  const { pipeline } = dims.degrees;
  const found: SimulatedRank[] = [];
  for (let stage = 0; stage < pipeline; stage++)
    found.push(await simulateRank(spec, model, (stage * dims.worldSize) / pipeline, stage));
  return found;
}

async function simulateRank(
  spec: RunSpec,
  model: ModelConfig,
  rank: number,
  stage: number,
): Promise<SimulatedRank> {
  const { worldSize, accumulationSteps, withGpus } = spec;
  setMetaMemory(withGpus ? "accelerator" : "cpu");
  simulateProcessGroup({ rank, worldSize, backend: withGpus ? "nccl" : "gloo" });
  try {
    const placement = await openPlacement(spec);
    const stages = await placeStages(spec, model, placement);
    using _ = scope();
    const before = memoryStats("meta").currentBytes;
    const mainBefore = inMainMemory("meta", () => memoryStats("meta").currentBytes);
    const { strategy, model: decoder, optimizer } = assemble(spec, model, placement, stages);
    const update = new Update({
      model: decoder,
      strategy,
      optimizer,
      ranks: placement.ranks,
      context: contextOf(spec, placement),
      // On meta tensors the step can't see which device they stand for.
      options: { ...stepOptionsOf(spec), logitsChunk: keptRows(!withGpus) * model.vocabSize },
    });
    const stateBytes = memoryStats("meta").currentBytes - before;
    const batch = fullBatch(spec, model.vocabSize);
    const batches = Array.from({ length: accumulationSteps }, () => batch);
    simulatedCalls();
    resetPeakMemory("meta");
    inMainMemory("meta", () => resetPeakMemory("meta"));
    const gradients = update.gradients(
      batches,
      batch.trainedTokens * accumulationSteps * placement.ranks.data.worldSize,
    );
    update.apply(gradients, 0, spec.maxNorm);
    return {
      rank,
      stage,
      stateBytes,
      peakBytes: memoryStats("meta").peakBytes - before,
      mainBytes: withGpus ? inMainMemory("meta", () => memoryStats("meta").peakBytes) - mainBefore : 0,
      traffic: trafficOf(simulatedCalls(), placement.dims),
    };
  } finally {
    await destroyProcessGroup();
  }
}

function trafficOf(calls: readonly SimulatedCalls[], { layout }: ParallelDims): Traffic[] {
  const found = new Map<string, Traffic>();
  for (const { group, kind, ...one } of calls) {
    const axis = axisOf(group.name, layout?.axes ?? []);
    const key = `${axis} ${kind}`;
    const before = found.get(key);
    found.set(key, {
      axis,
      ranks: group.size,
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
