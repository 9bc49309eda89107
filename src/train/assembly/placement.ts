// Where a process stands in its run: its place among the ranks, its device, its stages of a pipeline, the ranks with which it
// shares sequences. What it holds of the model is strategy.ts's.
import { isInitialized, isSimulated, worldGroup } from "../../comm/index.ts";
import type { RunSpec } from "../../config/index.ts";
import { blockCosts, type ModelConfig } from "../../models/index.ts";
import {
  ContextRegion,
  ParallelDims,
  placePipeline,
  Ranks,
  type DataGroups,
  type PipelinePlace,
} from "../../parallel/index.ts";
import { localDevice } from "../../torch/index.ts";
import { UserError } from "../../util/index.ts";
import { trainedBlocks } from "./trained-blocks.ts";

export interface Placement {
  readonly dims: ParallelDims;
  readonly ranks: Ranks;
  readonly groups: DataGroups;
}

/**
 * Finds this process's place among the ranks; every rank calls it. The process group must be there already where the
 * configuration asks for more than one process: who starts the processes makes it.
 * @throws UserError where the processes are not those of the configuration
 */
export async function openPlacement(spec: RunSpec): Promise<Placement> {
  const dims = ParallelDims.of(spec);
  const { worldSize, withGpus } = spec;
  const found = isInitialized() ? worldGroup().size : 1;
  if (found !== worldSize) {
    throw new UserError(
      `processes.procs: expected ${found}, the number of processes of this run, found ${worldSize}. \`forge sft\` and SpawnActor start as many as it says; a launcher (torchrun, srun) must be told the same number.`,
      { exitCode: 2 },
    );
  }
  const groups = await dims.groups(withGpus ? "cuda" : "cpu");
  const ranks = found === 1 ? Ranks.one : Ranks.ofWorld(groups.loss, dims.dataPart(worldGroup().globalRank));
  return { dims, ranks, groups };
}

/** Where this rank's tensors are: nowhere, in a simulated run. */
export function deviceOf({ withGpus }: RunSpec, ranks: Ranks): string {
  if (isSimulated()) return "meta";
  if (!withGpus) return "cpu";
  return ranks.size > 1 ? `cuda:${localDevice(Number(process.env["LOCAL_RANK"] ?? ranks.rank))}` : "cuda";
}

/** This rank's stages of a pipeline; undefined without one. Every rank calls it. */
export async function placeStages(
  spec: RunSpec,
  model: ModelConfig,
  { groups, dims }: Pick<Placement, "groups" | "dims">,
): Promise<PipelinePlace | undefined> {
  if (dims.degrees.pipeline === 1) return undefined;
  const costs = blockCosts(model, spec.seqLen);
  return await placePipeline(spec.pipelineSchedule, groups.mesh!, trainedBlocks(spec, model), costs);
}

/** The ranks that share each sequence with this one; undefined without context parallelism. */
export function contextOf(spec: RunSpec, { groups }: Pick<Placement, "groups">): ContextRegion | undefined {
  if (groups.context === undefined) return undefined;
  return new ContextRegion(groups.context, spec.contextRotateMethod);
}
